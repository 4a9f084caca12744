"""The operators, and the desk that reads its feed: a process of its own, so that it is not taken for product.

Reads a `Job` as JSON from standard input and writes what it saw as JSON to standard output.
"""

import asyncio
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
import orjson
import uvloop

from tests.bench.http_client import Connection, log_in
from tests.bench.vehicles import plate

_LOOK_SECONDS = 0.05
_IN_HAND = "SELECT count(*) FROM cases WHERE status IN ('looking_up', 'calling')"


@dataclass(frozen=True)
class Job:
    """What to do. Cases are opened for vehicles `first`, `first + 1`, …

    rate: cases a second, at random moments (Poisson), whatever becomes of the earlier ones; 0: as fast as
    they are dealt with, with `window` of them in hand. disputes_first: the first vehicle whose owner
    disputes; every `dispute_each`-th case is about one of those (0: none is), and their items in the desk's
    feed are waited for, at most `patience` seconds longer. readers: others who watch meanwhile, desks and
    consoles.
    """

    address: str
    password: str
    database: str
    first: int
    most: int
    seconds: float
    rate: float = 0.0
    window: int = 0
    connections: int = 16
    disputes_first: int = 0
    dispute_each: int = 0
    readers: int = 0
    patience: float = 30.0
    seed: int = 1


@dataclass
class Seen:
    """What was seen; times are epoch seconds."""

    opened: list[tuple[int, str, float, float]] = field(default_factory=list)
    """Vehicle, case id, when the request was sent, when it was answered."""
    refused: list[tuple[int, int, str]] = field(default_factory=list)
    """Vehicle, HTTP status and answer of a request that opened no case."""
    feed: list[tuple[str, float]] = field(default_factory=list)
    """Case id and when the desk had the item that it was raised."""
    started: float = 0.0
    cpu: float = 0.0


class Operators:
    """Several connections of one operator."""

    def __init__(self, job: Job, token: str) -> None:
        self._job = job
        self._token = token
        self._next = job.first
        self._next_dispute = job.disputes_first
        self._settled = 0
        self._sent = 0
        self._room = asyncio.Event()
        self.seen = Seen()

    async def saturate(self) -> None:
        """Keep `window` cases in hand."""
        end = time.monotonic() + self._job.seconds
        look = asyncio.create_task(self._look())
        await asyncio.gather(*(self._keep_opening(end) for _ in range(self._job.connections)))
        look.cancel()

    async def _keep_opening(self, end: float) -> None:
        connection = await Connection.open(self._job.address, self._token)
        while time.monotonic() < end and self._next < self._job.first + self._job.most:
            if self._sent - self._settled >= self._job.window:
                self._room.clear()
                await self._room.wait()
                continue
            await self._open(connection)
        connection.close()

    async def _look(self) -> None:
        database = await asyncpg.connect(self._job.database)
        while True:
            answered = len(self.seen.opened)
            self._settled = answered - await database.fetchval(_IN_HAND)
            self._room.set()
            await asyncio.sleep(_LOOK_SECONDS)

    async def arrive(self) -> None:
        """Open cases at the given rate, each on a connection that is free."""
        chance = random.Random(self._job.seed)
        free = [await Connection.open(self._job.address, self._token) for _ in range(self._job.connections)]
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        end = due + self._job.seconds
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            connection = free.pop() if free else await Connection.open(self._job.address, self._token)
            task = asyncio.create_task(self._open(connection))
            task.add_done_callback(lambda _, used=connection: free.append(used))  # type: ignore[misc]
            running.add(task)
            task.add_done_callback(running.discard)
            due += chance.expovariate(self._job.rate)
        await asyncio.gather(*running)

    async def _open(self, connection: Connection) -> None:
        self._sent += 1
        if self._job.dispute_each and self._sent % self._job.dispute_each == 0:
            vehicle, self._next_dispute = self._next_dispute, self._next_dispute + 1
        else:
            vehicle, self._next = self._next, self._next + 1
        body = {
            "plate": plate(vehicle),
            "location": "湖塘镇花园街12号",
            "requester_phone": "13912345678",
            "situation": "堵住车库出口",
        }
        sent = time.time()
        status, answer = await connection.ask("POST", "/cases", body)
        if status == 201:
            self.seen.opened.append((vehicle, answer["id"], sent, time.time()))
        else:
            self.seen.refused.append((vehicle, status, str(answer)))


class Desk:
    """A reader that always waits at the feed's end (long poll)."""

    def __init__(self, connection: Connection, after: int, seen: Seen) -> None:
        self._connection = connection
        self._after = after
        self._seen = seen

    async def read(self) -> None:
        """Read for ever."""
        while True:
            status, page = await self._connection.ask("GET", f"/feed?after={self._after}&wait=20")
            now = time.time()
            if status != 200:
                raise RuntimeError(f"the feed was answered {status}: {page}")
            self._after = page["next"]
            self._seen.feed += [
                (item["data"]["case_id"], now)
                for item in page["items"]
                if item["type"] == "escalation.raised"
            ]


async def _feed_end(connection: Connection) -> int:
    after = 0
    while True:
        _, page = await connection.ask("GET", f"/feed?after={after}&limit=200")
        if not page["items"]:
            return after
        after = page["next"]


async def work(job: Job) -> Seen:
    """Do a job. Raises what the connections raise."""
    operators = Operators(job, await log_in(job.address, "op1", job.password))
    seen = operators.seen
    reading: asyncio.Task[None] | None = None
    others: list[asyncio.Task[None]] = []
    if job.dispute_each:
        token = await log_in(job.address, "desk1", job.password)
        connection = await Connection.open(job.address, token)
        end = await _feed_end(connection)
        reading = asyncio.create_task(Desk(connection, end, seen).read())
        others = await _others(job, token, end)
    seen.started = time.time()
    await (operators.arrive() if job.rate else operators.saturate())
    if reading is not None:
        await _all_in_feed(seen, reading, job)
    for other in others:
        if other.done():
            other.result()  # a reader that was dropped is no reader
        other.cancel()
    seen.cpu = time.process_time()
    return seen


async def _others(job: Job, desk: str, end: int) -> list[asyncio.Task[None]]:
    """Half of the readers are consoles that follow the cases, half desks at the feed's end.

    Of ten desks nine follow the stream, as the desk's page does; one polls, as a system of the desk's may.
    """
    watching = []
    operator = await log_in(job.address, "op2", job.password)
    for number in range(job.readers):
        if number % 2 == 0:
            console = await Connection.open(job.address, operator)
            watching.append(asyncio.create_task(console.follow("/events")))
            continue
        connection = await Connection.open(job.address, desk)
        if number % 20 == 1:
            watching.append(asyncio.create_task(Desk(connection, end, Seen()).read()))
        else:
            watching.append(asyncio.create_task(connection.follow(f"/feed/stream?after={end}")))
    return watching


async def _all_in_feed(seen: Seen, reading: asyncio.Task[None], job: Job) -> None:
    until = time.monotonic() + job.patience
    disputes = sum(vehicle >= job.disputes_first for vehicle, *_ in seen.opened)
    while time.monotonic() < until and len(seen.feed) < disputes:
        await asyncio.wait({reading}, timeout=_LOOK_SECONDS)
        if reading.done():
            reading.result()
    reading.cancel()


def main() -> None:
    """One job."""
    given: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    seen = uvloop.run(work(Job(**given)))
    sys.stdout.buffer.write(orjson.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
