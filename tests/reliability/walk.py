"""The kill matrix: the outbound process dies at every boundary of every kind of call, and comes back."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.common.events import AttemptOutcome
from tests.reliability.boundaries import Boundary
from tests.reliability.ground import Ground
from tests.reliability.lane import Contact, Lane
from tests.reliability.nursery import Victim
from tests.reliability.verdict import Verdict, judge
from tests.reliability.wire import read_wire

SETTLE_SECONDS: Final = 60.0
"""Longest time from the last start to the end of the contact; a contact that is open then is lost."""
_CALM_SECONDS: Final = 0.3
REDIAL: Final = '{"busy":[0.2]}'
"""One outcome is dialled again, so that the death also falls between two attempts."""
ATTEMPTS: Final[dict[AttemptOutcome, int]] = {"busy": 2}
"""Attempts that these rules allow a contact; one where the outcome is not listed."""
CLAIMED: Final = "after commit of outbound_attempts+outbox"
ANSWERED: Final = "after receiving Success"
TWICE: Final[tuple[tuple[AttemptOutcome, Boundary, bool], ...]] = (
    # while the call goes on, and once it is over: the life after the first death finds out what it missed
    ("agreed", ("before receiving UserEvent Up MovecarGreeting start", 1), False),
    ("agreed", ("before receiving UserEvent Up MovecarGreeting start", 1), True),
    ("busy", ("before sending Originate", 1), False),
)
"""Calls whose process dies a second time, while it makes good the first: played, first death, late."""
"""What the time between the claim and the switch's answer lies between."""


@dataclass(frozen=True)
class Death:
    """One run: the owner's part, where the process dies, one death after the other, and when it comes back.

    `late`: started again only once no channel of the call is up, so that only what the switch wrote down
    can tell.
    """

    played: AttemptOutcome
    at: tuple[Boundary, ...]
    late: bool = False


@dataclass
class Run:
    """What came of it. `died`: how many of the deaths came about. `seconds`: from the last start."""

    death: Death
    contact: Contact
    died: int = 0
    seconds: float = 0.0
    reached: list[Boundary] = field(default_factory=list)


@dataclass
class Row:
    """A line of the matrix."""

    name: str
    boundaries: int = 0
    runs: int = 0
    died: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    seconds: list[float] = field(default_factory=list)


Report = Callable[[str], None]


class Walk:
    """Runs deaths on several lanes side by side: each has a database and a process of its own."""

    def __init__(self, lanes: Sequence[Lane], report: Report) -> None:
        self._lanes = lanes
        self._report = report
        self.runs: list[Run] = []
        self._walked: dict[str, set[str]] = {}

    async def lives(self, played: Iterable[AttemptOutcome]) -> dict[AttemptOutcome, list[Boundary]]:
        """The boundaries of a whole call to an owner of each kind, in order."""
        runs = await self.run([Death(outcome, ()) for outcome in played])
        return {run.death.played: run.reached for run in runs}

    async def second_lives(self, firsts: Iterable[tuple[AttemptOutcome, Boundary, bool]]) -> list[Death]:
        """A second death at each boundary of the life that follows a first one."""
        runs = await self.run([Death(played, (first,), late) for played, first, late in firsts])
        return [
            death
            for run in runs
            for death in every(run.death.played, run.reached, *run.death.at, late=run.death.late)
        ]

    async def run(self, deaths: Iterable[Death]) -> list[Run]:
        """Run all, as many at a time as there are lanes."""
        queue = list(reversed(list(deaths)))
        runs: list[Run] = []
        total = len(queue)

        async def work(lane: Lane) -> None:
            while queue:
                runs.append(await _run(lane, queue.pop()))
                if len(runs) % 50 == 0:
                    self._report(f"  {len(runs)} of {total} deaths")

        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(work(lane))
        self.runs += runs
        return runs


async def _run(lane: Lane, death: Death) -> Run:
    (contact,) = await lane.request(death.played)
    run = Run(death, contact)
    for boundary in death.at:
        victim = await lane.start(kill_at=boundary)
        if not await _dies(lane, contact, victim):  # this time it did not come past; the contact is settled
            await victim.kill()
            break
        run.died += 1
        if death.late:
            attempts = await lane.attempts([contact])
            await lane.ground.channels.over({row.id for row in attempts.get(contact.id, ())})
    began = time.monotonic()
    victim = await lane.start()
    await lane.settled([contact], SETTLE_SECONDS)
    run.seconds = time.monotonic() - began
    await asyncio.sleep(_CALM_SECONDS)
    await victim.kill()
    run.reached = victim.reached()
    return run


async def _dies(lane: Lane, contact: Contact, victim: Victim) -> bool:
    """Wait for the death; False when the contact is settled without it, and what follows had its time."""
    settled = asyncio.create_task(lane.settled([contact], SETTLE_SECONDS))
    either: set[asyncio.Future[Any]] = {settled, victim.ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if settled.done():
        await asyncio.wait({victim.ended}, timeout=_CALM_SECONDS)
    settled.cancel()
    await asyncio.gather(settled, return_exceptions=True)
    return not victim.running


def every(
    played: AttemptOutcome, boundaries: Iterable[Boundary], *before: Boundary, late: bool | None = None
) -> list[Death]:
    """A death at each boundary, come back from at once, and once the call was over, or only `late` or not."""
    ways = (False, True) if late is None else (late,)
    return [Death(played, (*before, boundary), way) for boundary in boundaries for way in ways]


def between_claim_and_answer(boundaries: Sequence[Boundary]) -> list[Boundary]:
    """From the commit of the claim to the switch's answer: here the phone may ring or not."""
    labels = [label for label, _ in boundaries]
    originate = labels.index("before sending Originate")
    claim = max(place for place, label in enumerate(labels[:originate]) if label == CLAIMED)
    answer = labels.index(ANSWERED, originate)
    return list(boundaries[claim : answer + 1])


def sample(deaths: Sequence[Death], count: int, chance: random.Random) -> list[Death]:
    """Some of them, each at most once, in both ways of coming back."""
    picked = chance.sample(range(len(deaths)), min(count, len(deaths)))
    return [replace(deaths[place], late=chance.random() < 0.5) for place in sorted(picked)]


async def matrix(ground: Ground, lanes: Sequence[Lane], runs: Sequence[Run]) -> dict[str, Row]:
    """Judge every run by what was on the wire; a row for each outcome that was played."""
    wire = await asyncio.to_thread(read_wire, ground.owners.trace)
    verdicts = {}
    for lane in lanes:
        for story in await lane.stories(wire, most=max(ATTEMPTS.values())):
            most = ATTEMPTS.get(story.played, 1)
            verdicts[story.number] = judge(replace(story, most=most))
    rows: dict[str, Row] = {}
    points: dict[str, set[tuple[Boundary, ...]]] = {}
    for run in runs:
        if not run.death.at:
            continue
        twice = " (dies twice)" if len(run.death.at) > 1 else ""
        row = rows.setdefault(run.death.played + twice, Row(run.death.played + twice))
        points.setdefault(row.name, set()).add(run.death.at)
        row.runs += 1
        row.died += run.died == len(run.death.at)
        row.verdict.add(verdicts[run.contact.number])
        row.seconds.append(run.seconds)
    for name, row in rows.items():
        row.boundaries = len(points[name])
    return rows


def not_reached(runs: Iterable[Run]) -> Counter[str]:
    """Boundaries that a process did not come past again, by label: how commits are grouped varies."""
    return Counter(run.death.at[-1][0] for run in runs if run.death.at and run.died < len(run.death.at))
