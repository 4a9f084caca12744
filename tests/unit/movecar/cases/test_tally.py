"""What is counted of cases in a span of time, and who may ask for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from services.common.http.auth import Role
from services.common.service import Process
from services.common.tally import service_token
from services.movecar.cases.models import CaseHistory
from services.movecar.cases.tally import CaseCount
from tests.support.cases import new_case
from tests.support.running import Client

BEGIN = datetime(2026, 4, 1, 8, tzinfo=UTC)
END = BEGIN + timedelta(minutes=10)
HOUR = timedelta(hours=1)


def step(trigger: str, to: str, reason: str | None, after: float = 60, case_id: str = "c") -> dict[str, Any]:
    return {
        "case_id": case_id,
        "at": BEGIN + timedelta(seconds=after),
        "actor": "system",
        "trigger": trigger,
        "from_status": None,
        "to_status": to,
        "reason": reason,
        "note": "",
    }


UNANSWERED = step("lookup_failed", "attention", "unavailable")


@pytest.mark.parametrize(
    ("steps", "lookups_failed", "to_person", "to_desk"),
    [
        # the registry did not answer
        ([UNANSWERED], 1, 1, 0),
        # asked again by hand, in vain: one case, two lookups
        ([UNANSWERED, UNANSWERED], 2, 1, 0),
        # it answered: the vehicle is the reason, not we
        ([step("lookup_failed", "attention", "not_found")], 0, 0, 0),
        ([step("lookup_failed", "attention", "ambiguous")], 0, 0, 0),
        ([step("lookup_failed", "attention", "found")], 0, 0, 0),
        # nobody reported in time: the lookup, the calls
        ([step("deadline_passed", "attention", "registry_unavailable")], 0, 1, 0),
        ([step("deadline_passed", "attention", "call_unknown")], 0, 1, 0),
        # a fault of ours, an end that nobody saw
        ([step("call_needs_person", "attention", "failed")], 0, 1, 0),
        ([step("call_needs_person", "attention", "unknown")], 0, 1, 0),
        # what an owner wanted, and what the guard forbade
        ([step("call_needs_person", "attention", "wanted_operator")], 0, 0, 0),
        ([step("call_needs_person", "attention", "night")], 0, 0, 0),
        # nobody attended to it in time
        ([UNANSWERED, step("deadline_passed", "escalated", "registry_unavailable", 300)], 1, 1, 1),
        ([step("deadline_passed", "escalated", "unreachable")], 0, 0, 1),
        # by hand, and because of the owner
        ([step("escalated_by_operator", "escalated", "registry_unavailable")], 0, 0, 0),
        ([step("exhausted", "escalated", "unreachable")], 0, 0, 0),
        # the edges of the span: from its beginning on, and before its end
        ([step("lookup_failed", "attention", "unavailable", 0)], 1, 1, 0),
        ([step("lookup_failed", "attention", "unavailable", -0.001)], 0, 0, 0),
        ([step("lookup_failed", "attention", "unavailable", 600)], 0, 0, 0),
    ],
)
async def test_only_what_the_system_could_not_do_is_counted(
    movecar: Process, steps: list[dict[str, Any]], lookups_failed: int, to_person: int, to_desk: int
) -> None:
    async with movecar.kernel.database.transaction() as session:
        await session.execute(insert(CaseHistory), steps)
    found = await CaseCount(movecar.kernel.database)(BEGIN, END)
    assert found.model_dump() == {
        "opened": 0,
        "lookups_failed": lookups_failed,
        "to_person": to_person,
        "to_desk": to_desk,
        "undelivered": 0,
    }


async def test_cases_are_counted_when_they_were_opened(movecar: Process, operator: Client) -> None:
    for plate in ("苏D10001", "苏D10005"):
        assert (await operator.post("/cases", new_case(plate)))[0] == 201
    now = movecar.kernel.clock.now()
    client = operator.become(movecar, "supervisor")
    span = {"from": (now - HOUR).isoformat(), "to": now.isoformat()}
    status, found = await client.get("/tallies/movecar", params=span)
    assert (status, found["opened"]) == (200, 2)
    earlier = {"from": (now - 2 * HOUR).isoformat(), "to": (now - HOUR).isoformat()}
    assert (await client.get("/tallies/movecar", params=earlier))[1]["opened"] == 0


SPAN = {"from": BEGIN.isoformat(), "to": END.isoformat()}


@pytest.mark.parametrize(
    ("role", "status"),
    [("supervisor", 200), ("auditor", 200), ("operator", 403), ("desk", 403), ("admin", 403)],
)
async def test_figures_are_for_supervisors_and_auditors(
    movecar: Process, operator: Client, role: Role, status: int
) -> None:
    client = operator.become(movecar, role)
    assert (await client.get("/tallies/movecar", params=SPAN))[0] == status


async def test_a_service_that_asks_in_its_own_name_is_told_this_and_nothing_else(
    movecar: Process, operator: Client
) -> None:
    kernel = movecar.kernel
    token = service_token("escalation", kernel.tokens, kernel.clock)
    operator.http.headers["Authorization"] = f"Bearer {token}"
    assert (await operator.get("/tallies/movecar", params=SPAN))[0] == 200
    for path in ("/cases", "/recordings", "/sessions/current"):
        assert (await operator.get(path))[0] == 403, path
    del operator.http.headers["Authorization"]
    assert (await operator.get("/tallies/movecar", params=SPAN))[0] == 401


@pytest.mark.parametrize(
    ("begin", "end", "field"),
    [
        # not given, no time, no zone
        (None, "2026-04-01T00:00:00Z", "from"),
        ("2026-04-01T00:00:00Z", None, "to"),
        ("yesterday", "2026-04-01T00:00:00Z", "from"),
        ("2026-04-01T00:00:00", "2026-04-01T00:00:00Z", "from"),
        # reversed
        ("2026-04-01T00:00:01Z", "2026-04-01T00:00:00Z", "to"),
        ("2026-04-01T08:00:00Z", "2026-04-01T08:00:00+08:00", "to"),
        # longer than 31 days
        ("2026-03-01T00:00:00Z", "2026-04-01T00:00:01Z", "to"),
        # ahead
        ("2026-04-01T00:00:00Z", "2999-04-01T00:00:00Z", "to"),
        ("2026-04-01T00:00:00Z", "9999-12-31T23:59:59-08:00", "to"),
        # before there was anything
        ("0001-01-01T00:00:00+08:00", "0001-01-02T00:00:00+08:00", "from"),
    ],
)
async def test_a_wrong_span_is_told_by_its_field(
    movecar: Process, operator: Client, begin: str | None, end: str | None, field: str
) -> None:
    given = {name: value for name, value in (("from", begin), ("to", end)) if value is not None}
    client = operator.become(movecar, "auditor")
    status, problem = await client.get("/tallies/movecar", params=given)
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


async def test_an_empty_span_and_the_longest_one_are_counted(movecar: Process, operator: Client) -> None:
    client = operator.become(movecar, "auditor")
    for begin in (END, END - timedelta(days=31)):
        span = {"from": begin.isoformat(), "to": END.isoformat()}
        assert (await client.get("/tallies/movecar", params=span))[0] == 200
