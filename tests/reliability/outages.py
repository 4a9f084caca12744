"""What happens to calls in every phase when a part they need is cut off, killed, frozen, slow or emptied."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.common.database import is_outage
from services.common.events import AttemptOutcome
from tests.reliability.ground import Ground
from tests.reliability.lane import Lane
from tests.reliability.manager_line import ManagerLine
from tests.reliability.owners import PLAYED
from tests.reliability.verdict import Verdict, judge
from tests.reliability.wire import read_wire

SETTLE_SECONDS: Final = 120.0
_EVERY_SECONDS: Final = 0.25
_SLOW: Final = (0.02, 0.06)
_numbers = itertools.count(20)
"""Of lanes: above those of a walk."""


@dataclass
class Scene:
    """A fault about to happen: to what, and for how long. `length` in seconds."""

    ground: Ground
    lane: Lane
    line: ManagerLine
    length: float


Fault = Callable[[Scene], Awaitable[None]]


async def link_cut(scene: Scene) -> None:
    """The connection to the manager breaks; the next one is let through."""
    scene.line.cut()


async def link_away(scene: Scene) -> None:
    """The connection to the manager breaks, and for a while none comes about."""
    scene.line.away = True
    scene.line.cut()
    await asyncio.sleep(scene.length)
    scene.line.away = False


async def link_slow(scene: Scene) -> None:
    """Every message to and from the manager takes its time, and comes in pieces."""
    scene.line.slow = _SLOW
    await asyncio.sleep(scene.length)
    scene.line.slow = None


async def asterisk_killed(scene: Scene) -> None:
    """The switch dies with its calls, and is started again."""
    scene.ground.asterisk.kill()
    await asyncio.sleep(scene.length)
    scene.ground.asterisk.spawn()
    await asyncio.to_thread(scene.ground.asterisk.wait_ready)


async def asterisk_hung(scene: Scene) -> None:
    """The switch takes connections and actions, and answers nothing; then it goes on."""
    scene.ground.asterisk.child.pause()
    await asyncio.sleep(scene.length)
    scene.ground.asterisk.child.resume()


async def database_hung(scene: Scene) -> None:
    """The database answers nothing, then goes on."""
    scene.ground.postgres.child.pause()
    await asyncio.sleep(scene.length)
    scene.ground.postgres.child.resume()


async def database_gone(scene: Scene) -> None:
    """The database is killed, and started again."""
    scene.ground.postgres.kill()
    await asyncio.sleep(scene.length)
    scene.ground.postgres.spawn()
    await asyncio.to_thread(scene.ground.postgres.wait_ready)


async def redis_flushed(scene: Scene) -> None:
    """Redis forgets everything."""
    await asyncio.to_thread(scene.ground.redis.flush)


async def redis_killed(scene: Scene) -> None:
    """Redis dies and comes back empty."""
    scene.ground.redis.kill()
    await asyncio.sleep(scene.length)
    scene.ground.redis.spawn()
    await asyncio.to_thread(scene.ground.redis.wait_ready)


async def outbound_hung(scene: Scene) -> None:
    """The outbound process itself stands still, then goes on."""
    assert scene.lane.victim is not None
    scene.lane.victim.pause()
    await asyncio.sleep(scene.length)
    scene.lane.victim.resume()


@dataclass(frozen=True)
class Outage:
    """A row of the table. `alone`: it hits every lane, so nothing else may run. `length`: seconds."""

    name: str
    fault: Fault
    length: float = 0.0
    alone: bool = True

    @property
    def kills_calls(self) -> bool:
        """Whether the switch forgets calls, so that even those that were answered may be unknown."""
        return self.fault is asterisk_killed


OUTAGES: Final = (
    Outage("AMI link cut, back at once", link_cut, alone=False),
    Outage("AMI link away for 60 s", link_away, 60.0, alone=False),
    Outage("AMI slow and in pieces for 30 s", link_slow, 30.0, alone=False),
    Outage("outbound frozen for 30 s", outbound_hung, 30.0, alone=False),
    Outage("Asterisk killed, back after 2 s", asterisk_killed, 2.0),
    Outage("Asterisk hung for 30 s", asterisk_hung, 30.0),
    Outage("PostgreSQL hung for 30 s", database_hung, 30.0),
    Outage("PostgreSQL killed, back after 30 s", database_gone, 30.0),
    Outage("Redis emptied", redis_flushed),
    Outage("Redis killed, back after 5 s", redis_killed, 5.0),
)


@dataclass
class OutageRow:
    """What came of the calls. `phases`: in which state they were when it struck. `seconds`: from the end of
    the fault until every contact was concluded."""

    name: str
    calls: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0


@contextlib.asynccontextmanager
async def lane_behind_line(ground: Ground, number: int) -> AsyncIterator[tuple[Lane, ManagerLine]]:
    """A lane whose way to the manager can be disturbed; its process runs."""
    switch = ground.asterisk.settings
    with ManagerLine(switch.ami_host, switch.ami_port) as line:
        settings = {"MOVECAR_AMI_HOST": "127.0.0.1", "MOVECAR_AMI_PORT": str(line.port)}
        async with Lane(ground, number, MOVECAR_MAX_CONCURRENT_CALLS="200", **settings) as lane:
            await lane.start()
            yield lane, line


async def suffer(ground: Ground, number: int, outage: Outage, share: int, seed: int) -> OutageRow:
    """Let the fault strike amid `share` calls to every kind of owner; requests go on meanwhile."""
    played: list[AttemptOutcome] = [*PLAYED] * share
    random.Random(seed).shuffle(played)
    async with lane_behind_line(ground, number) as (lane, line):
        asking = asyncio.create_task(_ask(lane, played))
        await asyncio.sleep(len(played) * _EVERY_SECONDS / 2)
        row = OutageRow(outage.name, len(played), phases=await _phases(lane))
        await outage.fault(Scene(ground, lane, line, outage.length))
        over = time.monotonic()
        await asking
        await lane.settled(lane.contacts, SETTLE_SECONDS)
        row.seconds = time.monotonic() - over
        # Whatever may still ring after its outcome was told has to be seen.
        await ground.channels.over(
            {row.id for rows in (await lane.attempts(lane.contacts)).values() for row in rows}
        )
        wire = await asyncio.to_thread(read_wire, ground.owners.trace)
        for story in await lane.stories(wire, switch_died=outage.kills_calls):
            row.verdict.add(judge(story))
    return row


async def suffer_all(
    ground: Ground, outages: Sequence[Outage], share: int, seed: int, report: Callable[[str], None]
) -> list[OutageRow]:
    """Every outage; those that disturb nobody else at the same time."""
    rows: dict[str, OutageRow] = {}

    async def one(outage: Outage) -> None:
        report(f"  {outage.name} ...")
        rows[outage.name] = await suffer(ground, next(_numbers), outage, share, seed)

    async with asyncio.TaskGroup() as group:
        for outage in outages:
            if not outage.alone:
                group.create_task(one(outage))
    for outage in outages:
        if outage.alone:
            await one(outage)
    return [rows[outage.name] for outage in outages]


async def _ask(lane: Lane, played: Sequence[AttemptOutcome]) -> None:
    for outcome in played:
        while True:
            try:
                await lane.request(outcome)
            except Exception as error:
                if not is_outage(error):
                    raise
            else:
                break
            await asyncio.sleep(_EVERY_SECONDS)
        await asyncio.sleep(_EVERY_SECONDS)


async def _phases(lane: Lane) -> dict[str, int]:
    tried = await lane.attempts(lane.contacts)
    states = Counter(row.state for rows in tried.values() for row in rows)
    states["requested"] = sum(contact.id not in tried for contact in lane.contacts)
    return dict(+states)
