"""When calls fail by no doing of an owner, and when that is over."""

from datetime import timedelta
from typing import Any

import pytest

from services.common.call_rules import CallAlarms
from services.outbound.guard.failing import Failing, Share, State, judge
from tests.unit.outbound.rig import Rig
from tests.unit.outbound.test_alarms import calls

RULES = CallAlarms(failing_calls=10, failing_share=0.3, failing_minutes=10)


@pytest.mark.parametrize(
    ("calls", "failed", "was", "state"),
    [
        # nothing, or nothing wrong
        (0, 0, "well", "well"),
        (100, 0, "well", "well"),
        # a few that fail tell nothing, even when all of them do
        (9, 9, "well", "well"),
        # to the share
        (10, 2, "well", "well"),
        (10, 3, "well", "failing"),
        (1000, 299, "well", "well"),
        # all of them: nobody is reached any more
        (10, 10, "well", "stopped"),
        (10, 9, "well", "failing"),
        # from some to all, and back
        (10, 10, "failing", "stopped"),
        (4, 4, "failing", "failing"),
        (11, 10, "stopped", "failing"),
        # it is over when enough get through, however few there are
        (4, 1, "failing", "well"),
        (1, 0, "stopped", "well"),
        # silence is no proof that it is over
        (0, 0, "failing", "failing"),
        (0, 0, "stopped", "stopped"),
        (3, 3, "stopped", "stopped"),
    ],
)
def test_a_share_of_the_last_calls_decides(calls: int, failed: int, was: State, state: State) -> None:
    assert judge(Share(calls, failed), RULES, was) == state


@pytest.mark.parametrize(
    ("fields", "failing"),
    [
        # the network's doing, ours, and nobody knows whose
        ({"outcome": "congestion"}, True),
        ({"outcome": "failed"}, True),
        ({"outcome": "unknown"}, True),
        # owners and their numbers
        ({"outcome": "busy"}, False),
        ({"outcome": "no_answer"}, False),
        ({"outcome": "declined"}, False),
        ({"outcome": "unallocated"}, False),
        ({"outcome": "hung_up"}, False),
        ({"outcome": "agreed"}, False),
        # kept back by the guard: nobody was rung
        ({"outcome": "withheld", "dialed_at": None}, False),
        # still up
        ({"outcome": None, "state": "ringing", "ended_at": None}, False),
    ],
)
async def test_only_technical_failures_count(rig: Rig, fields: dict[str, Any], failing: bool) -> None:
    watch = Failing(rig.database, rig.clock, RULES, [])
    if fields.get("state") == "ringing":
        await calls(rig, 1, timedelta(minutes=1), **fields)  # one contact has one open attempt
    else:
        await calls(rig, 10, timedelta(minutes=1), **fields)
    await watch.look()
    assert (await watch.some() is not None) is failing
    assert (await watch.all() is not None) is failing


async def test_an_owner_who_answered_and_heard_nothing_counts(rig: Rig) -> None:
    watch = Failing(rig.database, rig.clock, RULES, [])
    await calls(rig, 10, timedelta(minutes=1), outcome="hung_up", prompt_failed_at=rig.clock.now())
    await watch.look()
    assert await watch.all() == "10分钟内10次呼叫中10次失败"


async def looked(watch: Failing) -> State:
    await watch.look()
    return watch.state


async def test_old_calls_do_not_count_and_what_failed_stays_failed_until_one_gets_through(rig: Rig) -> None:
    watch = Failing(rig.database, rig.clock, RULES, [])
    await calls(rig, 10, timedelta(minutes=11), outcome="failed")
    assert await looked(watch) == "well"
    await calls(rig, 10, timedelta(minutes=9), outcome="failed")
    assert await looked(watch) == "stopped"
    rig.clock.shift += timedelta(hours=3)
    assert await looked(watch) == "stopped"
    await calls(rig, 1, timedelta(minutes=1))
    assert await looked(watch) == "well"


async def test_calls_that_failed_while_the_switch_or_every_trunk_was_away_are_that_fault_s(rig: Rig) -> None:
    away: list[str | None] = ["no trunk is in service"]

    async def part() -> str | None:
        return away[0]

    watch = Failing(rig.database, rig.clock, RULES, [part])
    await calls(rig, 10, timedelta(minutes=1), outcome="congestion")
    assert await looked(watch) == "well"
    away[0] = None
    assert await looked(watch) == "well"
    # What fails after it is back is a fault of its own.
    rig.clock.shift += timedelta(minutes=2)
    await calls(rig, 10, timedelta(minutes=1), outcome="congestion")
    assert await looked(watch) == "stopped"
