from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from services.common.clock import ManualClock
from services.common.http.auth import Principal
from services.common.service import Kernel
from services.movecar.cases.deadlines import Deadlines
from services.movecar.cases.intake import Request, open_case
from services.movecar.cases.machine import AttentionReason, Status
from services.movecar.cases.models import Case, CaseHistory
from services.movecar.cases.transitions import CaseRules
from services.movecar.plates import parse
from tests.support.running import settings_for
from tests.support.tables import create_tables


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = Kernel.build(settings_for(tmp_path), ManualClock())
    await create_tables(kernel.database)
    yield kernel
    await kernel.database.close()


async def a_case(kernel: Kernel, rules: CaseRules) -> Case:
    clock = kernel.clock
    operator = Principal("o", "op1", "坐席一号", "operator", "s", clock.now())
    request = Request(parse("苏D10001"), None, "花园街", "", "", "notice", "13912345678")
    async with kernel.database.transaction() as session:
        case, _ = await open_case(session, rules, request, operator)
    return case


async def put_into(
    kernel: Kernel, case: Case, status: Status, attention: AttentionReason | None = None
) -> None:
    async with kernel.database.transaction() as session:
        await session.execute(
            update(Case).where(Case.id == case.id).values(status=status, attention_reason=attention)
        )


@pytest.mark.parametrize(
    ("status", "attention", "after", "reason", "outcome"),
    [
        # The registry never answered: a person must look.
        ("looking_up", None, "attention", None, None),
        # The caller never reported: what became of the call is not known.
        ("calling", None, "attention", None, None),
        # Nobody complained within the grace period.
        ("notified", None, "closed", None, "no_complaint"),
        # Nobody attended to it in time: the desk does.
        ("attention", "not_found", "escalated", "vehicle_not_found", "not_found"),
        ("attention", "registry_unavailable", "escalated", "registry_unavailable", "not_found"),
        ("attention", "call_unknown", "escalated", "unreachable", "unreachable"),
    ],
)
async def test_a_deadline_moves_the_case_on_once(
    kernel: Kernel,
    status: Status,
    attention: AttentionReason | None,
    after: Status,
    reason: str | None,
    outcome: str | None,
) -> None:
    rules = CaseRules(kernel.settings, kernel.keys, kernel.clock)
    case = await a_case(kernel, rules)
    await put_into(kernel, case, status, attention)
    deadlines = Deadlines(kernel.database, rules)
    assert isinstance(kernel.clock, ManualClock)
    await kernel.clock.advance(kernel.settings.lookup_deadline - 1)
    assert await deadlines.pass_due() == 0
    await kernel.clock.advance(1)
    assert await deadlines.pass_due() == 1
    assert await deadlines.pass_due() == 0
    async with kernel.database.reading() as session:
        found = await session.scalar(select(Case))
        steps = list(await session.scalars(select(CaseHistory.to_status).order_by(CaseHistory.id)))
    assert found is not None
    assert (found.status, found.escalation_reason, found.outcome) == (after, reason, outcome)
    assert steps == ["looking_up", after]


async def test_deadlines_survive_a_restart(kernel: Kernel) -> None:
    rules = CaseRules(kernel.settings, kernel.keys, kernel.clock)
    await a_case(kernel, rules)
    assert isinstance(kernel.clock, ManualClock)
    later = ManualClock(kernel.clock.now())
    await later.advance(3600)
    again = Kernel.build(kernel.settings, later)
    try:
        rules_again = CaseRules(again.settings, again.keys, later)
        assert await Deadlines(again.database, rules_again).pass_due() == 1
    finally:
        await again.database.close()
