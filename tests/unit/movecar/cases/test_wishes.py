"""Owners who do not want to be called by a machine: noted, listed, lifted (B4)."""

import asyncio
from typing import Any

import pytest

from services.common.events import MachineCallsAllowed, MachineCallsDeclined
from services.common.http.auth import Role
from services.common.service import Process
from tests.support.cases import new_case, until
from tests.support.running import Client
from tests.unit.movecar.cases.test_case_api import emitted

NOTE = {"note": "车主来电要求人工联系"}


async def declined(movecar: Process, operator: Client, plate: str = "苏D10001") -> dict[str, Any]:
    """Return a case with whose owner's wish was noted."""
    _, case = await operator.post("/cases", new_case(plate))
    await until(operator, case["id"], "calling")
    status, shown = await operator.post(f"/cases/{case['id']}/no-machine-calls", NOTE)
    assert (status, shown["id"]) == (200, case["id"])
    return dict(case)


@pytest.fixture
async def supervisor(movecar: Process) -> Any:
    async with Client(movecar.address) as client:
        yield client.become(movecar, "supervisor")


async def test_a_wish_covers_the_owners_numbers_and_is_told_without_them(
    movecar: Process, operator: Client, supervisor: Client
) -> None:
    case = await declined(movecar, operator)
    (told,) = await emitted(movecar, MachineCallsDeclined)
    assert told["numbers"] == [movecar.kernel.keys.index("phone", "13905190001")]
    assert (told["case_id"], told["by"]) == (case["id"], "operator")
    _, page = await supervisor.get("/no-machine-calls")
    (wish,) = page["items"]
    assert (wish["case_id"], wish["numbers"], wish["note"]) == (case["id"], 1, NOTE["note"])
    assert (wish["asked_by"], wish["lifted_at"]) == ("测试operator", None)
    assert "1390519" not in str(page)
    _, history = await operator.get(f"/cases/{case['id']}/history")
    last = history["items"][-1]
    assert (last["trigger"], last["actor"], last["note"]) == (
        "machine_calls_declined",
        "测试operator",
        NOTE["note"],
    )
    assert last["from_status"] == last["to_status"]


async def test_the_same_wish_noted_again_stays_one(
    movecar: Process, operator: Client, supervisor: Client
) -> None:
    case = await declined(movecar, operator)
    for client in (operator, supervisor):
        assert (await client.post(f"/cases/{case['id']}/no-machine-calls", NOTE))[0] == 200
    assert len(await emitted(movecar, MachineCallsDeclined)) == 1
    _, history = await operator.get(f"/cases/{case['id']}/history")
    assert [item["trigger"] for item in history["items"]].count("machine_calls_declined") == 3


async def test_lifting_keeps_who_when_and_why_and_is_told(
    movecar: Process, operator: Client, supervisor: Client
) -> None:
    case = await declined(movecar, operator)
    _, page = await supervisor.get("/no-machine-calls?active=true")
    wish = page["items"][0]["id"]
    status, lifted = await supervisor.post(f"/no-machine-calls/{wish}/lift", {"note": "车主书面同意"})
    assert status == 200
    assert (lifted["lifted_by"], lifted["lift_note"], lifted["note"]) == (
        "测试supervisor",
        "车主书面同意",
        NOTE["note"],
    )
    (told,) = await emitted(movecar, MachineCallsAllowed)
    assert told["wish_id"] == wish
    # Again: nothing is rewritten, and the caller is told once more, should it have missed it.
    _, again = await supervisor.post(f"/no-machine-calls/{wish}/lift", {"note": "再次"})
    assert again == lifted
    assert len(await emitted(movecar, MachineCallsAllowed)) == 2
    assert (await supervisor.get("/no-machine-calls?active=true"))[1]["items"] == []
    _, past = await supervisor.get("/no-machine-calls?active=false")
    assert [item["id"] for item in past["items"]] == [wish]
    _, history = await operator.get(f"/cases/{case['id']}/history")
    assert history["items"][-1]["trigger"] == "machine_calls_allowed"
    # What was lifted can be asked for anew.
    assert (await operator.post(f"/cases/{case['id']}/no-machine-calls", NOTE))[0] == 200
    assert len(await emitted(movecar, MachineCallsDeclined)) == 2


async def test_wishes_are_found_by_the_owner_of_a_case_and_paged(
    movecar: Process, operator: Client, supervisor: Client
) -> None:
    cases = [await declined(movecar, operator, f"苏D1000{digit}") for digit in range(3)]
    _, page = await supervisor.get(f"/no-machine-calls?case={cases[1]['id']}")
    assert [item["case_id"] for item in page["items"]] == [cases[1]["id"]]
    found, cursor = [], ""
    while True:
        _, page = await supervisor.get("/no-machine-calls?limit=1" + (f"&cursor={cursor}" if cursor else ""))
        found += [item["case_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [case["id"] for case in reversed(cases)]


async def test_without_a_known_owner_nothing_can_be_noted(movecar: Process, operator: Client) -> None:
    _, case = await operator.post("/cases", new_case("苏D99999"))
    await until(operator, case["id"], "attention")
    status, problem = await operator.post(f"/cases/{case['id']}/no-machine-calls", NOTE)
    assert (status, problem["code"]) == (409, "no_owner_found")
    assert (await operator.post(f"/cases/{'0' * 32}/no-machine-calls", NOTE))[0] == 404


@pytest.mark.parametrize("body", [{}, {"note": ""}, {"note": " "}, {"note": "x\r\ny"}, {"note": "x" * 1001}])
async def test_a_wish_needs_a_reason(movecar: Process, operator: Client, body: dict[str, str]) -> None:
    _, case = await operator.post("/cases", new_case())
    status, problem = await operator.post(f"/cases/{case['id']}/no-machine-calls", body)
    assert status == 422
    assert problem["errors"][0]["field"] == "note"


@pytest.mark.parametrize(
    ("role", "note", "see", "lift"),
    [
        ("operator", 404, 403, 403),
        ("supervisor", 404, 200, 404),
        ("auditor", 403, 200, 403),
        ("desk", 403, 403, 403),
        ("admin", 403, 403, 403),
    ],
)
async def test_who_may_note_see_and_lift(
    movecar: Process, role: Role, note: int, see: int, lift: int
) -> None:
    async with Client(movecar.address) as client:
        client.become(movecar, role)
        answers = await asyncio.gather(
            client.post(f"/cases/{'0' * 32}/no-machine-calls", NOTE),
            client.get("/no-machine-calls"),
            client.post(f"/no-machine-calls/{'0' * 32}/lift", NOTE),
        )
    assert [status for status, _ in answers] == [note, see, lift]
