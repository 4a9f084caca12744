"""One phase: offer load, watch the processors over the steady window, and account for every call."""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg
import orjson

from deploy.asterisk.render import CALLER_ID
from deploy.stack.asterisk import Asterisk
from deploy.stack.service import ROOT
from tests.bench import bare, load
from tests.bench.cpu import machine_seconds, tree_seconds
from tests.bench.figures import CallsLost, Latency, Throughput, spread, within
from tests.bench.installation import PASSWORD, Installation
from tests.bench.owners import CallSeen
from tests.bench.switch import HastySwitch
from tests.bench.vehicles import phone

_SETTLE_SECONDS = 60.0
_AGREED = ("notified", "ended", "agreed")
_DISPUTED = ("escalated", "ended", "disputed")
_CASES = """
SELECT c.id, c.status, c.created_at, k.requested_at, a.number, a.state, a.outcome, a.queued_at, a.dialed_at,
       a.key_at, a.ended_at, h.at AS concluded_at
FROM cases c
LEFT JOIN outbound_contacts k ON k.case_id = c.id
LEFT JOIN outbound_attempts a ON a.contact_id = k.id
LEFT JOIN case_history h ON h.case_id = c.id AND h.from_status = 'calling'
WHERE c.id = ANY($1::varchar[])
"""


@dataclass(frozen=True)
class Bench:
    """What all phases share. `warm` and `seconds`: length of the warm-up and of the steady window."""

    installation: Installation
    disputes_from: int
    vehicles: int
    window: int
    warm: float
    seconds: float

    async def saturate(self, first: int, most: int) -> Throughput:
        """Calls per second through the whole product, with as many cases in hand as it takes."""
        # Cases are in hand longer than their calls: with twice as many, lines are never short of work.
        job = self._job(first, most, window=2 * self.window)
        usage, seen = await self._watched("tests.bench.load", asdict(job), "operators")
        cases, _ = await self._accounted(seen)
        return usage.over([case["ended_at"].timestamp() for case in cases.values()])

    async def bare(self, first: int, most: int, kind: type[HastySwitch]) -> Throughput:
        """Calls per second of asterisk-ami by itself, on a switch of its own."""
        async with self.installation.other_switch(kind) as other:
            return await self._bare(other, first, most)

    async def _bare(self, other: Asterisk, first: int, most: int) -> Throughput:
        switch = other.settings
        job = bare.Job(
            host=switch.ami_host,
            port=switch.ami_port,
            user=switch.ami_user,
            secret=switch.ami_secret,
            caller_id=CALLER_ID,
            ring_ms=30_000,
            first=first,
            most=most,
            disputes_from=self.disputes_from,
            window=self.window,
            seconds=self.warm + self.seconds,
        )
        usage, seen = await self._watched(
            "tests.bench.bare", asdict(job), "bare", {"asterisk": other.child.pid}
        )
        placed, ended, keys = seen["placed"], len(seen["ended"]), seen["keys"]
        calls = sum(map(len, self.installation.bench_owners.take().values()))
        if not placed == ended == keys == calls:
            raise CallsLost(f"bare loop: {placed} placed, {calls} arrived, {keys} keys, {ended} ended")
        return usage.over(seen["ended"])

    async def to_invite(self, first: int, most: int, rate: float) -> Latency:
        """From the operator's request to the INVITE at the owner, and the steps between."""
        job = self._job(first, most, rate=rate)
        usage, seen = await self._watched("tests.bench.load", asdict(job), "operators")
        cases, calls = await self._accounted(seen)
        steps: dict[str, list[float]] = {}
        for vehicle, case_id, sent, _ in self._steady(seen, usage):
            case, call = cases[case_id], self._call(calls, vehicle)
            marks = {
                "request → case": case["created_at"].timestamp(),
                "case → looked up": case["requested_at"].timestamp(),
                "looked up → queued": case["queued_at"].timestamp(),
                "queued → claimed": case["dialed_at"].timestamp(),
                "claimed → INVITE": call.invited,
            }
            _add_steps(steps, "submit → INVITE", sent, marks)
        return usage.along(steps)

    async def to_feed(self, first: int, most: int, rate: float, dispute_each: int, readers: int) -> Latency:
        """From a disputing owner's key to the item at the waiting desk, and the steps between.

        Every `dispute_each`-th owner disputes; `readers` further desks and consoles are connected.
        """
        disputes = self.disputes_from
        job = self._job(
            first, most, rate=rate, disputes_first=disputes, dispute_each=dispute_each, readers=readers
        )
        usage, seen = await self._watched("tests.bench.load", asdict(job), "operators")
        cases, calls = await self._accounted(seen)
        read = dict(seen["feed"])
        disputed = {case_id for vehicle, case_id, _, _ in seen["opened"] if vehicle >= disputes}
        missing = disputed - read.keys()
        if missing or len(read) != len(seen["feed"]):
            raise CallsLost(
                f"the desk missed {len(missing)} items, {len(seen['feed']) - len(read)} came twice"
            )
        steps: dict[str, list[float]] = {}
        for vehicle, case_id, _, _ in self._steady(seen, usage):
            if case_id not in disputed:
                continue
            case, call = cases[case_id], self._call(calls, vehicle)
            heard = case["key_at"].timestamp()
            marks = {
                "key up → heard by outbound": heard,
                "heard → case escalated": case["concluded_at"].timestamp(),
                "escalated → desk has it": read[case_id],
            }
            _add_steps(steps, "keypress → feed", call.key_up_before(heard), marks)
        return usage.along(steps)

    def _job(self, first: int, most: int, **how: Any) -> load.Job:
        return load.Job(
            address=self.installation.plan.listen,
            password=PASSWORD,
            database=self.installation.database,
            first=first,
            most=most,
            seconds=self.warm + self.seconds,
            **how,
        )

    async def _watched(
        self, module: str, job: dict[str, Any], name: str, instead: Mapping[str, int] | None = None
    ) -> tuple["Usage", dict[str, Any]]:
        """Run a job in a process of its own and watch the processors over the steady window.

        `instead`: processes by name that stand for parts of the installation.
        """
        # Into a file: from a pipe, on a machine that is busy throughout, the end of a long answer was lost.
        with tempfile.TemporaryFile() as answer:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module), stdin=asyncio.subprocess.PIPE, stdout=answer, cwd=ROOT
            )
            working = asyncio.create_task(process.communicate(orjson.dumps(job)))
            pids = self.installation.pids() | {name: process.pid} | dict(instead or {})
            await asyncio.wait({working}, timeout=self.warm)
            self.installation.sample(on=True)
            usage = Usage.begin(pids)
            await asyncio.wait({working}, timeout=self.seconds)
            usage.finish()
            self.installation.sample(on=False)
            await working
            if process.returncode != 0:
                raise CallsLost(f"{module} ended with {process.returncode}")
            answer.seek(0)
            return usage, orjson.loads(answer.read())

    async def _accounted(self, seen: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[CallSeen]]]:
        """Cases by id and calls by number, once all cases are settled. Raises CallsLost."""
        ids = [case_id for _, case_id, _, _ in seen["opened"]]
        cases, ends = await self._settled(ids)
        calls = self.installation.bench_owners.take()
        wanted = Counter(
            ("escalated", "ended", "disputed")
            if vehicle >= self.disputes_from
            else ("notified", "ended", "agreed")
            for vehicle, *_ in seen["opened"]
        )
        if ends != wanted or seen["refused"] or len(calls) != len(ids):
            raise CallsLost(
                f"{len(ids)} cases opened, {len(seen['refused'])} refused {seen['refused'][:3]}, "
                f"{len(calls)} numbers rung; how they ended: {dict(ends)}"
            )
        for vehicle, _, _, _ in seen["opened"]:
            self._call(calls, vehicle)
        return cases, calls

    async def _settled(self, ids: list[str]) -> tuple[dict[str, Any], Counter[tuple[str, str, str]]]:
        database = await asyncpg.connect(self.installation.database)
        until = time.monotonic() + _SETTLE_SECONDS
        try:
            while True:
                rows = await database.fetch(_CASES, ids)
                ends = Counter((row["status"], row["state"], row["outcome"]) for row in rows)
                open_ = sum(row["state"] != "ended" or row["concluded_at"] is None for row in rows)
                if not open_ or time.monotonic() > until:
                    return {row["id"]: row for row in rows}, ends
                await asyncio.sleep(0.25)
        finally:
            await database.close()

    def _call(self, calls: dict[str, list[CallSeen]], vehicle: int) -> CallSeen:
        found = calls.get(phone(vehicle, self.disputes_from), [])
        if len(found) != 1 or not found[0].keys_down:
            raise CallsLost(f"vehicle {vehicle} was rung {len(found)} times")
        return found[0]

    def _steady(self, seen: dict[str, Any], usage: "Usage") -> Sequence[tuple[int, str, float, float]]:
        return [one for one in seen["opened"] if usage.began <= one[2] < usage.ended]


class Usage:
    """Processor time over a window."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._machine = (0.0, 0.0)
        self.began = self.ended = 0.0

    @classmethod
    def begin(cls, pids: dict[str, int]) -> "Usage":
        usage = cls(pids)
        usage.began = time.time()
        usage._before = {name: tree_seconds(pid) for name, pid in pids.items()}
        usage._machine = machine_seconds()
        return usage

    def finish(self) -> None:
        """End the window."""
        busy, total = machine_seconds()
        self._machine = (busy - self._machine[0], total - self._machine[1])
        self._spent = {name: tree_seconds(pid) - self._before[name] for name, pid in self._pids.items()}
        self.ended = time.time()

    def over(self, moments: Sequence[float]) -> Throughput:
        """The throughput when calls were completed at these moments. Raises CallsLost when none was."""
        calls = within(moments, self.began, self.ended)
        if not calls:
            raise CallsLost("no call was completed in the steady window")
        return Throughput(
            seconds=self.ended - self.began,
            calls=calls,
            cpu_ms=self._cpu_ms(calls),
            busy=self._busy,
            strangers=self._strangers,
        )

    def along(self, steps: dict[str, list[float]]) -> Latency:
        """The latency when these durations were measured."""
        spreads = {name: spread(values) for name, values in steps.items()}
        calls = min(one.count for one in spreads.values())
        return Latency(spreads, self._cpu_ms(calls), busy=self._busy, strangers=self._strangers)

    def _cpu_ms(self, calls: int) -> dict[str, float]:
        return {name: 1000 * spent / calls for name, spent in self._spent.items()}

    @property
    def _busy(self) -> float:
        return self._machine[0] / self._machine[1]

    @property
    def _strangers(self) -> float:
        return max(0.0, self._machine[0] - sum(self._spent.values())) / self._machine[1]


def _add_steps(steps: dict[str, list[float]], whole: str, start: float, marks: dict[str, float]) -> None:
    before = start
    for name, mark in marks.items():
        steps.setdefault(name, []).append(mark - before)
        before = mark
    steps.setdefault(whole, []).append(before - start)
