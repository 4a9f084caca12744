"""A sample of what `make reliability` walks, on real parts: B1 and B5.

The sample changes with the day; MOVECAR_RELIABILITY_SEED repeats one.
"""

import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.clock import SystemClock, local
from tests.reliability import hostile
from tests.reliability.ground import Ground, ground
from tests.reliability.lane import lanes
from tests.reliability.outages import Outage, asterisk_killed, link_away, redis_flushed, suffer_all
from tests.reliability.owners import PLAYED
from tests.reliability.walk import REDIAL, TWICE, Row, Walk, between_claim_and_answer, every, matrix, sample
from tests.reliability.wire import Wire, read_wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

SEED = int(os.environ.get("MOVECAR_RELIABILITY_SEED") or local(SystemClock().now()).toordinal())
LANES = 6
SAMPLED = 30
OUTAGES = (
    Outage("link away", link_away, 3.0, alone=False),
    Outage("Redis emptied", redis_flushed, alone=False),
    Outage("Asterisk killed", asterisk_killed, 0.5),
)


@dataclass(frozen=True)
class Walked:
    """What a walk came to."""

    rows: dict[str, Row]
    deaths: int
    died: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(server_home: Path) -> AsyncIterator[Ground]:
    async with ground(server_home / "reliability") as servers:
        yield servers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked(servers: Ground) -> Walked:
    """Deaths between claim and answer, with an owner who answers and one who does not, and some others."""
    async with lanes(servers, LANES, MOVECAR_REDIAL=REDIAL) as side_by_side:
        walk = Walk(side_by_side, print)
        lives = await walk.lives(PLAYED)
        twice = await walk.second_lives(TWICE)
        worst = list(
            chain.from_iterable(
                every(outcome, between_claim_and_answer(lives[outcome]), late=False)
                for outcome in ("agreed", "busy")
            )
        )
        others = [*chain.from_iterable(every(*life) for life in lives.items()), *twice]
        deaths = worst + sample(others, SAMPLED, random.Random(SEED))
        runs = await walk.run(deaths)
        died = sum(run.died == len(run.death.at) for run in runs)
        return Walked(await matrix(servers, side_by_side, walk.runs), len(deaths), died)


async def test_no_death_of_the_process_rings_an_owner_twice(walked: Walked) -> None:
    doubled = [what for row in walked.rows.values() for what in row.verdict.doubled]
    assert doubled == [], f"seed {SEED}"


async def test_no_death_of_the_process_loses_a_contact(walked: Walked) -> None:
    lost = [what for row in walked.rows.values() for what in row.verdict.lost]
    assert lost == [], f"seed {SEED}"


async def test_what_is_told_after_a_death_is_what_the_owner_did_or_that_nobody_knows(walked: Walked) -> None:
    wrong = [what for row in walked.rows.values() for what in row.verdict.wrong]
    assert wrong == [], f"seed {SEED}"


async def test_the_process_really_died_in_nearly_every_run(walked: Walked) -> None:
    """Commits are grouped by chance, so that a few boundaries do not come again."""
    assert walked.died > 0.9 * walked.deaths


async def test_calls_in_every_phase_outlive_what_they_need(servers: Ground) -> None:
    rows = await suffer_all(servers, OUTAGES, 1, SEED, print)
    broken = [f"{row.name}: {what}" for row in rows for what in row.verdict.broken]
    assert broken == [], f"seed {SEED}"


async def test_every_owner_is_shown_0519110_also_by_somebody_else_at_the_manager(
    servers: Ground, walked: Walked
) -> None:
    taken = hostile.attack(servers.asterisk, range(90_000, 90_000 + len(hostile.DISGUISES)))
    wire: Wire = read_wire(servers.owners.trace)
    assert taken == len(hostile.DISGUISES)
    assert len(wire.calls) > 80
    assert hostile.shown_otherwise(wire.calls) == []
