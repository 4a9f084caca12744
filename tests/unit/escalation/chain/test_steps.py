"""An escalation insists until the desk has taken it over, and again when it is not dealt with (C3)."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from services.common.events import CaseDetailsChanged
from services.common.settings import Settings
from services.escalation.escalations import Escalations
from services.escalation.models import DeskCall, Escalation, EscalationStep
from tests.unit.escalation.chain.conftest import Desk
from tests.unit.escalation.harness import DETAILS


async def test_nothing_is_done_before_its_time(desk: Desk) -> None:
    await desk.escalate()
    assert await desk.later(59) == []
    assert await desk.later(1) == ["remind"]


async def test_an_unacknowledged_escalation_is_reminded_called_and_taken_to_the_supervisor(
    desk: Desk,
) -> None:
    await desk.escalate()
    assert await desk.later(60) == ["remind"]
    assert await desk.later(120) == ["remind", "call"]
    assert await desk.later(120) == ["remind", "call", "supervisor"]
    assert await desk.later(120) == ["remind", "call", "supervisor", "call"]
    kinds = [kind for kind, _ in await desk.items()]
    assert kinds == ["escalation.raised", *["escalation.reminded"] * 4]


async def test_each_reminder_says_what_was_done_and_how_often(desk: Desk) -> None:
    await desk.escalate()
    await desk.later(60)
    await desk.later(120)
    (_, first), (_, second) = (await desk.items())[1:]
    assert first["reminder"] == {"step": "remind", "times": 1}
    assert second["reminder"] == {"step": "call", "times": 2}
    assert (await desk.items())[0][1]["reminder"] is None


async def test_emergency_help_asks_for_a_call_at_once(desk: Desk) -> None:
    await desk.escalate("emergency_help")
    assert await desk.later(0) == ["call"]
    assert (await desk.call()).state == "queued"
    assert (await desk.items())[0][1]["priority"] == "emergency"


async def test_an_acknowledged_escalation_is_left_alone_until_it_should_be_disposed_of(desk: Desk) -> None:
    escalation = await desk.escalate()
    await desk.later(60)
    await desk.acknowledge(escalation)
    assert await desk.later(599) == ["remind"]
    assert await desk.later(1) == ["remind", "raise_again"]
    assert (await desk.one(escalation)).status == "raised"
    assert await desk.later(60) == ["remind", "raise_again", "remind"]
    await desk.acknowledge(escalation)  # somebody takes it over anew
    assert (await desk.one(escalation)).status == "acknowledged"


async def test_after_an_outage_every_overdue_step_is_taken_and_none_is_skipped(desk: Desk) -> None:
    await desk.escalate()
    await desk.later(1000)
    while await desk.chain.take_due():
        pass
    steps = [row.step for row in await desk.rows(EscalationStep)]
    assert steps[:3] == ["remind", "call", "supervisor"]
    assert all(row.taken_at >= row.due_at for row in await desk.rows(EscalationStep))


async def test_two_instances_take_a_step_once(desk: Desk) -> None:
    escalation = await desk.escalate()
    await desk.clock.advance(60)
    other = type(desk.chain)(desk.kernel.database, desk.rules, desk.calls, desk.clock)
    for chain in (desk.chain, other):
        async with desk.kernel.database.transaction() as session:
            await chain._take(session, escalation)
    assert [row.step for row in await desk.rows(EscalationStep)] == ["remind"]


async def test_the_most_urgent_escalation_comes_first(desk: Desk) -> None:
    normal = await desk.escalate("dispute")
    urgent = await desk.escalate("emergency_help")
    await desk.later(60)
    order = [row.escalation_id for row in await desk.rows(EscalationStep)]
    assert order == [urgent, normal]


async def test_a_change_of_the_settings_loosens_no_promise_that_was_made(desk: Desk) -> None:
    await desk.escalate()
    slow: Settings = desk.settings.model_copy(update={"ack_remind": 3600, "ack_call": 3600})
    desk.chain._escalations = Escalations(desk.feed, desk.kernel.keys, desk.clock, slow)
    assert await desk.later(60) == ["remind"]


async def test_one_call_at_a_time_is_asked_for_each_escalation(desk: Desk) -> None:
    await desk.escalate()
    for _ in range(10):
        await desk.later(120)
    assert len(await desk.rows(DeskCall)) == 1  # nobody places it here: it waits, and no second one is queued


async def test_what_becomes_known_later_is_told_and_stays_told(desk: Desk) -> None:
    escalation = await desk.escalate()
    await tell(desk, escalation, DETAILS | {"note": "堵了两辆车"})
    assert (await desk.items())[-1][0] == "escalation.updated"
    assert (await desk.items())[-1][1]["note"] == "堵了两辆车"
    await desk.later(60)
    assert (await desk.items())[-1][1]["note"] == "堵了两辆车"


async def tell(desk: Desk, escalation: str, details: dict[str, Any]) -> None:
    sealed = desk.kernel.keys.seal(orjson.dumps(details).decode(), f"escalation:{escalation}")
    event = CaseDetailsChanged(
        occurred_at=desk.clock.now(), case_id="case-1", escalation_id=escalation, details_sealed=sealed
    )
    async with desk.kernel.database.transaction() as session:
        await desk.rules.update(session, event)


async def test_the_auditor_is_well_while_every_step_is_taken(desk: Desk) -> None:
    await desk.escalate()
    assert await desk.auditor.look() == {}
    await desk.later(60)
    assert await desk.auditor.look() == {}
    assert await desk.auditor.check() is None


async def test_the_auditor_finds_what_a_dead_chain_leaves_undone(desk: Desk) -> None:
    escalation = await desk.escalate()
    await desk.clock.advance(71)  # nobody takes steps
    assert await desk.auditor.look() == {escalation: "deadline_missed"}
    assert await desk.auditor.check() is not None
    await desk.later(0)
    await desk.auditor.look()
    assert await desk.auditor.check() is None


async def test_an_auditor_that_has_stopped_looking_is_not_well(desk: Desk) -> None:
    await desk.auditor.look()
    await desk.clock.advance(timedelta(minutes=1).total_seconds())
    assert await desk.auditor.check() == "escalations are not being checked"


@pytest.mark.parametrize("status", ["raised", "acknowledged"])
async def test_an_escalation_of_an_earlier_version_gets_its_policy(desk: Desk, status: str) -> None:
    escalation = await desk.escalate()
    if status == "acknowledged":
        await desk.acknowledge(escalation)
    async with desk.kernel.database.transaction() as session:
        await session.execute(update(Escalation).values(policy=None, next_step_at=None))
    await desk.auditor.look()
    row = await desk.one(escalation)
    assert row.policy is not None
    assert row.next_step_at is not None
    assert await desk.auditor.look() == {}
