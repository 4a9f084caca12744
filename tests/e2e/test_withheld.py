"""A call that the guard keeps back, as people see it: all three services in one process."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.common.service import Process
from services.escalation.app import build as build_escalation
from services.movecar.app import build as build_movecar
from services.outbound.app import build as build_outbound
from tests.support.cases import new_case, open_until, until
from tests.support.running import Client, serving, settings_for

SERVICES = (build_movecar, build_outbound, build_escalation)
REDIAL = {"busy": [0.05, 0.05], "no_answer": [], "congestion": [], "hung_up": []}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Process]:
    """Three calls to a number in an hour, then it is enough."""
    limits = {"number": {"1h": 3}}
    settings = settings_for(tmp_path, call_limits=limits, redial=REDIAL, sandbox_speed=100)
    async with serving(settings, SERVICES) as process:
        yield process


@pytest.fixture
async def operator(guarded: Process) -> AsyncIterator[Client]:
    async with Client(guarded.address) as client:
        yield client.become(guarded, "operator")


@pytest.fixture
async def supervisor(guarded: Process) -> AsyncIterator[Client]:
    async with Client(guarded.address) as client:
        yield client.become(guarded, "supervisor")


async def withheld(operator: Client, case: dict[str, Any]) -> tuple[str, str, str | None, str]:
    """Return how the case's last call stands, and what its history says last."""
    shown = await until(operator, case["id"], "attention")
    _, history = await operator.get(f"/cases/{case['id']}/history")
    last = shown["attempts"][-1]
    assert last["dialed_at"] is None
    return shown["attention_reason"], last["outcome"], last["reason"], history["items"][-1]["reason"]


async def test_a_withheld_call_is_shown_with_its_reason_and_a_person_decides(operator: Client) -> None:
    first = await open_until(operator, "苏D10006", "escalated")
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["busy", "busy", "busy"]
    assert (await operator.post(f"/cases/{first['id']}/withdraw", {"note": ""}))[0] == 200
    _, case = await operator.post("/cases", new_case("苏D10006"))
    limit = ("call_withheld", "withheld", "number_limit", "number_limit")
    assert await withheld(operator, case) == limit
    # Ringing again is judged again ...
    assert (await operator.post(f"/cases/{case['id']}/redial"))[0] == 200
    assert await withheld(operator, case) == limit
    # ... and the 110 desk can always be told.
    status, _ = await operator.post(f"/cases/{case['id']}/escalate", {"reason": "unreachable", "note": ""})
    assert status == 200
    assert (await until(operator, case["id"], "escalated"))["escalation"]["reason"] == "unreachable"


async def test_an_owner_who_wants_no_machine_is_called_again_only_after_a_supervisor_says_so(
    operator: Client, supervisor: Client
) -> None:
    case = await open_until(operator, "苏D10001", "notified")
    assert (await operator.post(f"/cases/{case['id']}/no-machine-calls", {"note": "车主来电要求"}))[0] == 200
    assert (await operator.post(f"/cases/{case['id']}/still-blocked"))[0] == 200
    declined = ("call_withheld", "withheld", "owner_declined_machine", "owner_declined_machine")
    assert await withheld(operator, case) == declined
    _, page = await supervisor.get(f"/no-machine-calls?case={case['id']}")
    (wish,) = page["items"]
    assert (await supervisor.post(f"/no-machine-calls/{wish['id']}/lift", {"note": "车主同意"}))[0] == 200
    assert (await operator.post(f"/cases/{case['id']}/redial"))[0] == 200
    settled = await until(operator, case["id"], "notified")
    assert [attempt["outcome"] for attempt in settled["attempts"]] == ["agreed", "withheld", "agreed"]
