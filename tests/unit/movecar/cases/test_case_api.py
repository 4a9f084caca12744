import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import func, select

from services.common.bus import emit
from services.common.events import (
    AttemptChanged,
    CaseEscalated,
    CasesChanged,
    ContactConcluded,
    ContactOutcome,
    ContactRequested,
    EscalationAcknowledged,
    EscalationDisposed,
    Event,
)
from services.common.http.auth import Role
from services.common.models import OutboxEntry
from services.common.service import Process
from services.movecar.cases.models import Lookup
from tests.support.running import Client

PHONE = "13912345678"


def new_case(plate: str = "苏D10001", **fields: Any) -> dict[str, Any]:
    return {"plate": plate, "location": "湖塘镇花园街12号", "requester_phone": PHONE} | fields


async def until(client: Client, case_id: str, wanted: str) -> dict[str, Any]:
    """Return the case once it has a status, hearing of every change by the live stream's source."""
    async with asyncio.timeout(60):
        while True:
            _, case = await client.get(f"/cases/{case_id}")
            if case["status"] == wanted:
                return dict(case)
            await asyncio.sleep(0.01)


async def report(movecar: Process, *events: Event) -> None:
    """Let movecar handle events as if another service had emitted them."""
    handlers = movecar.services[0].handlers
    async with movecar.kernel.database.transaction() as session:
        for event in events:
            await handlers[type(event)](session, event)


async def emitted(movecar: Process, kind: type[Event]) -> list[dict[str, Any]]:
    async with movecar.kernel.database.reading() as session:
        rows = await session.scalars(
            select(OutboxEntry.payload).where(OutboxEntry.type == kind.TYPE).order_by(OutboxEntry.id)
        )
        return list(rows)


async def concluded(movecar: Process, client: Client, outcome: ContactOutcome, plate: str) -> dict[str, Any]:
    """Return a case whose contact ended with an outcome."""
    _, case = await client.post("/cases", new_case(plate))
    await until(client, case["id"], "calling")
    (contact,) = [
        payload for payload in await emitted(movecar, ContactRequested) if payload["case_id"] == case["id"]
    ]
    await report(
        movecar,
        ContactConcluded(
            occurred_at=movecar.kernel.clock.now(),
            case_id=case["id"],
            contact_id=contact["contact_id"],
            outcome=outcome,
        ),
    )
    _, case = await client.get(f"/cases/{case['id']}")
    return dict(case)


async def test_a_new_case_is_looked_up_and_the_owner_is_requested_without_another_click(
    movecar: Process, operator: Client
) -> None:
    status, case = await operator.post("/cases", new_case())
    assert status == 201
    assert case["status"] == "looking_up"
    assert case["joined"] is False
    assert case["number"].startswith("YC")
    assert case["number"].endswith("000001")
    found = await until(operator, case["id"], "calling")
    assert found["plate_color"] == "blue"
    assert found["owner"]["phone"].endswith("****0001")
    assert found["owner"]["name"].endswith("**")
    assert found["deadline_at"].endswith("+08:00")


async def test_no_stored_event_or_answer_holds_the_owners_number(movecar: Process, operator: Client) -> None:
    _, case = await operator.post("/cases", new_case())
    case = await until(operator, case["id"], "calling")
    (contact,) = await emitted(movecar, ContactRequested)
    keys, context = movecar.kernel.keys, f"contact:{contact['contact_id']}"
    (number,) = [keys.open(sealed, context) for sealed in contact["numbers_sealed"]]
    async with movecar.kernel.database.reading() as session:
        everything = json.dumps(
            [row.payload for row in await session.scalars(select(OutboxEntry))], ensure_ascii=False
        )
    assert number not in everything
    assert "苏D10001" not in everything
    assert number not in json.dumps(case)


async def test_every_lookup_is_bound_to_its_case_and_counted(movecar: Process, operator: Client) -> None:
    _, case = await operator.post("/cases", new_case())
    await until(operator, case["id"], "calling")
    async with movecar.kernel.database.reading() as session:
        rows = (await session.execute(select(Lookup.case_id, Lookup.result))).all()
    assert [tuple(row) for row in rows] == [(case["id"], "found")]


async def test_a_second_request_for_the_plate_joins_the_open_case(movecar: Process, operator: Client) -> None:
    _, first = await operator.post("/cases", new_case())
    status, second = await operator.post("/cases", new_case("苏 d·10001", location="另一处"))
    assert status == 200
    assert second["joined"] is True
    assert second["id"] == first["id"]
    await until(operator, first["id"], "calling")
    assert len(await emitted(movecar, ContactRequested)) == 1
    _, history = await operator.get(f"/cases/{first['id']}/history")
    assert "joined" in [item["trigger"] for item in history["items"]]


async def test_twenty_requests_at_the_same_moment_open_one_case(movecar: Process, operator: Client) -> None:
    answers = await asyncio.gather(*(operator.post("/cases", new_case()) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len({body["id"] for _, body in answers}) == 1


async def test_a_finished_case_is_not_joined(movecar: Process, operator: Client) -> None:
    _, first = await operator.post("/cases", new_case())
    await operator.post(f"/cases/{first['id']}/withdraw", {"note": "已自行挪开"})
    status, second = await operator.post("/cases", new_case())
    assert status == 201
    assert second["id"] != first["id"]
    assert int(second["number"][-6:]) == int(first["number"][-6:]) + 1


@pytest.mark.parametrize(
    ("outcome", "plate", "status", "reason"),
    [
        ("agreed", "苏D10001", "notified", None),
        ("disputed", "苏D10005", "escalated", "dispute"),
        ("refused", "苏D10002", "escalated", "owner_uncooperative"),
        ("exhausted", "苏D10007", "escalated", "unreachable"),
        # What is not known, or was our fault, goes to a person and is never redialled by itself (B5).
        ("unknown", "苏D10003", "attention", None),
        ("failed", "苏D10004", "attention", None),
        ("wanted_operator", "苏D10000", "attention", None),
        ("no_numbers", "苏D10008", "attention", None),
    ],
)
async def test_the_end_of_a_contact_moves_the_case(
    movecar: Process, operator: Client, outcome: ContactOutcome, plate: str, status: str, reason: str | None
) -> None:
    case = await concluded(movecar, operator, outcome, plate)
    assert case["status"] == status
    assert (case["escalation"] or {}).get("reason") == reason


@pytest.mark.parametrize(
    ("answer", "plate", "status", "reason"),
    [
        ("agreed", "苏D10001", "notified", None),
        ("disputed", "苏D10002", "escalated", "dispute"),
        ("refused", "苏D10003", "escalated", "owner_uncooperative"),
    ],
)
async def test_what_the_owner_said_to_the_operator_moves_the_case_as_a_key_would(
    movecar: Process, operator: Client, answer: str, plate: str, status: str, reason: str | None
) -> None:
    case = await concluded(movecar, operator, "wanted_operator", plate)
    body = {"answer": answer, "note": "车主在电话里说的"}
    done, case = await operator.post(f"/cases/{case['id']}/record-answer", body)
    assert (done, case["status"]) == (200, status)
    assert (case["escalation"] or {}).get("reason") == reason
    _, history = await operator.get(f"/cases/{case['id']}/history")
    last = history["items"][-1]
    assert (last["trigger"], last["note"]) == (f"owner_{answer}", "车主在电话里说的")
    again, problem = await operator.post(f"/cases/{case['id']}/record-answer", body)
    assert (again, problem["code"]) == (409, "illegal_transition")


async def test_an_answer_is_recorded_only_where_the_owner_may_have_given_one(
    movecar: Process, operator: Client
) -> None:
    case = await concluded(movecar, operator, "unknown", "苏D10004")
    status, problem = await operator.post(f"/cases/{case['id']}/record-answer", {"answer": "agreed"})
    assert (status, problem["code"], problem["case_status"]) == (409, "illegal_transition", "attention")
    status, problem = await operator.post(f"/cases/{case['id']}/record-answer", {"answer": "moved"})
    assert (status, problem["errors"][0]["field"]) == (422, "answer")


async def test_a_case_in_bridge_mode_asks_for_its_operator_s_seat(movecar: Process, operator: Client) -> None:
    status, case = await operator.post("/cases", new_case("苏D10006", mode="bridge"))
    assert (status, case["mode"]) == (201, "bridge")
    await until(operator, case["id"], "calling")
    (contact,) = await emitted(movecar, ContactRequested)
    assert (contact["mode"], contact["seat"]) == ("bridge", "operator")


async def test_the_desk_takes_a_disputed_case_over_and_closes_it(movecar: Process, operator: Client) -> None:
    case = await concluded(movecar, operator, "disputed", "苏D10005")
    now, escalation = movecar.kernel.clock.now(), case["escalation"]["id"]
    acknowledged = EscalationAcknowledged(
        occurred_at=now, case_id=case["id"], escalation_id=escalation, by="接警员"
    )
    # The news comes at least once, and two officers may take the case.
    await report(movecar, acknowledged, acknowledged)
    _, case = await operator.get(f"/cases/{case['id']}")
    assert (case["status"], case["escalation"]["status"]) == ("handed_over", "acknowledged")
    await report(
        movecar,
        EscalationDisposed(
            occurred_at=now, case_id=case["id"], escalation_id=escalation, code="moved", by="接警员"
        ),
    )
    _, case = await operator.get(f"/cases/{case['id']}")
    assert (case["status"], case["outcome"]) == ("closed", "handled_by_110")


async def test_a_late_result_of_a_withdrawn_case_is_kept_and_moves_nothing(
    movecar: Process, operator: Client
) -> None:
    _, case = await operator.post("/cases", new_case())
    await until(operator, case["id"], "calling")
    (contact,) = await emitted(movecar, ContactRequested)
    await operator.post(f"/cases/{case['id']}/withdraw", {"note": ""})
    await report(
        movecar,
        ContactConcluded(
            occurred_at=movecar.kernel.clock.now(),
            case_id=case["id"],
            contact_id=contact["contact_id"],
            outcome="agreed",
        ),
    )
    _, case = await operator.get(f"/cases/{case['id']}")
    assert (case["status"], case["outcome"]) == ("cancelled", "withdrawn")
    _, history = await operator.get(f"/cases/{case['id']}/history")
    assert history["items"][-1]["trigger"] == "contact_concluded_late"


async def test_an_older_state_of_a_call_does_not_overwrite_a_newer_one(
    movecar: Process, operator: Client
) -> None:
    _, case = await operator.post("/cases", new_case())
    now = movecar.kernel.clock.now()
    known: dict[str, Any] = {
        "occurred_at": now,
        "case_id": case["id"],
        "contact_id": "c" * 32,
        "attempt_id": "a" * 32,
        "number": 1,
        "script_version": 1,
        "queued_at": now,
        "dialed_at": now,
        "answered_at": None,
        "ended_at": None,
    }
    newer = AttemptChanged(version=3, state="ended", outcome="busy", **known)
    older = AttemptChanged(version=2, state="ringing", outcome=None, **known)
    await report(movecar, newer, older)
    _, case = await operator.get(f"/cases/{case['id']}")
    assert [(attempt["state"], attempt["outcome"]) for attempt in case["attempts"]] == [("ended", "busy")]


async def test_still_blocked_calls_once_more_and_then_hands_over(movecar: Process, operator: Client) -> None:
    case = await concluded(movecar, operator, "agreed", "苏D10001")
    status, case = await operator.post(f"/cases/{case['id']}/still-blocked")
    assert (status, case["status"]) == (200, "calling")
    contacts = await emitted(movecar, ContactRequested)
    assert len(contacts) == 2
    await report(
        movecar,
        ContactConcluded(
            occurred_at=movecar.kernel.clock.now(),
            case_id=case["id"],
            contact_id=contacts[-1]["contact_id"],
            outcome="agreed",
        ),
    )
    status, case = await operator.post(f"/cases/{case['id']}/still-blocked")
    assert case["status"] == "escalated"
    assert case["escalation"]["reason"] == "owner_uncooperative"


async def test_an_unknown_plate_waits_for_a_person_and_is_found_once_corrected(operator: Client) -> None:
    _, case = await operator.post("/cases", new_case("苏D99999"))
    case = await until(operator, case["id"], "attention")
    assert case["attention_reason"] == "not_found"
    status, case = await operator.post(f"/cases/{case['id']}/correct-plate", {"plate": "苏D10001"})
    assert (status, case["plate"]) == (200, "苏D10001")
    await until(operator, case["id"], "calling")


async def test_a_plate_that_exists_in_two_colours_asks_for_the_colour(operator: Client) -> None:
    _, case = await operator.post("/cases", new_case("苏D88888"))
    case = await until(operator, case["id"], "attention")
    assert case["attention_reason"] == "ambiguous_color"
    await operator.post(f"/cases/{case['id']}/correct-plate", {"plate": "苏D88888", "plate_color": "黄"})
    case = await until(operator, case["id"], "calling")
    assert case["plate_color"] == "yellow"


async def test_a_plate_is_not_corrected_into_another_open_case(operator: Client) -> None:
    _, other = await operator.post("/cases", new_case("苏D10001"))
    _, case = await operator.post("/cases", new_case("苏D99999"))
    await until(operator, case["id"], "attention")
    status, problem = await operator.post(f"/cases/{case['id']}/correct-plate", {"plate": "苏D10001"})
    assert (status, problem["code"]) == (409, "plate_already_open")
    assert problem["case_id"] == other["id"]


async def test_an_army_plate_goes_to_a_person_and_no_registry_is_asked(operator: Client) -> None:
    _, case = await operator.post("/cases", new_case("WJ苏1234X"))
    case = await until(operator, case["id"], "attention")
    assert case["attention_reason"] == "special_plate"


async def test_an_action_that_does_not_fit_the_status_says_which_status(operator: Client) -> None:
    _, case = await operator.post("/cases", new_case())
    await until(operator, case["id"], "calling")
    status, problem = await operator.post(f"/cases/{case['id']}/confirm-moved")
    assert (status, problem["code"], problem["case_status"]) == (409, "illegal_transition", "calling")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (new_case("苏D1O001"), "plate"),  # a letter O
        (new_case("hello"), "plate"),
        (new_case(requester_phone="110"), "requester_phone"),
        (new_case(requester_phone="95588"), "requester_phone"),
        (new_case(requester_phone="0519110"), "requester_phone"),  # our own caller ID
        (new_case(requester_phone="0519-81997327"), "requester_phone"),  # the desk's own line
        (new_case(requester_phone="+1 900 555 0100"), "requester_phone"),
        (new_case(requester_phone=13912345678), "requester_phone"),
        (new_case(location=""), "location"),
        (new_case(location="街\r\nAction: Originate"), "location"),
        (new_case(note="${SHELL(reboot)}"), "note"),
        (new_case(situation="a" * 201), "situation"),
        (new_case(plate_color="purple"), "plate_color"),
        (new_case(plate_color="green"), "plate_color"),  # an ordinary plate is never green
        (new_case(mode="conference"), "mode"),
        (new_case(caller_id="110"), "caller_id"),  # unknown fields are refused
        ({"location": "街", "requester_phone": PHONE}, "plate"),
    ],
)
async def test_bad_input_is_refused_by_field(operator: Client, body: dict[str, Any], field: str) -> None:
    status, problem = await operator.post("/cases", body)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_letter_o_is_suggested_as_zero_and_never_replaced(operator: Client) -> None:
    status, problem = await operator.post("/cases", new_case("苏D1O001"))
    assert (status, problem["code"], problem["suggestion"]) == (422, "invalid_plate", "苏D10001")


async def test_the_same_idempotency_key_opens_one_case_and_gives_the_same_answer(operator: Client) -> None:
    headers = {"Idempotency-Key": "one-click"}
    first = await operator.post("/cases", new_case(), headers=headers)
    assert await operator.post("/cases", new_case(), headers=headers) == first
    status, problem = await operator.post("/cases", new_case("苏D10002"), headers=headers)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("operator", True), ("supervisor", True), ("auditor", True), ("desk", False), ("admin", False)],
)
async def test_only_those_who_may_read_cases_do(
    movecar: Process, operator: Client, role: Role, allowed: bool
) -> None:
    _, case = await operator.post("/cases", new_case())
    async with Client(movecar.address) as client:
        client.become(movecar, role)
        status, body = await client.get(f"/cases/{case['id']}")
        assert status == (200 if allowed else 403)
        if role == "auditor":
            assert body["requester_phone"] == "139****5678"


async def test_cases_are_found_by_plate_number_status_and_time_in_pages(operator: Client) -> None:
    opened = [(await operator.post("/cases", new_case(f"苏D1000{digit}")))[1] for digit in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        _, page = await operator.get(f"/cases?limit=2{cursor}")
        seen += [case["id"] for case in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [case["id"] for case in reversed(opened)]

    async def found(**query: str) -> list[str]:
        status, page = await operator.get("/cases", params=query)
        assert status == 200, page
        return [case["id"] for case in page["items"]]

    assert await found(plate="苏d·10003") == [opened[3]["id"]]
    assert await found(number=opened[2]["number"]) == [opened[2]["id"]]
    assert await found(status="closed") == []
    assert len(await found(**{"from": opened[0]["created_at"], "to": opened[4]["created_at"]})) == 4


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("cursor=%00", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("from=2026-04-01T00:00:00", "from"),  # no zone
        ("status=lost", "status"),
        ("number=1%27%20OR%201=1", "number"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_a_bad_query_is_refused_by_name(operator: Client, query: str, field: str) -> None:
    status, problem = await operator.get(f"/cases?{query}")
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("path", ["/cases/nothing", "/cases/nothing/history"])
async def test_an_unknown_case_is_not_found(operator: Client, path: str) -> None:
    status, problem = await operator.get(path)
    assert (status, problem["code"]) == (404, "not_found")


async def heard(
    client: Client, count: int, *, after: int = 0, last: int | None = None
) -> list[dict[str, Any]]:
    """Return the next events of the live stream after a number, or resumed where a reader left."""
    told: list[dict[str, Any]] = []
    url = f"{client.base}/api/v1/events?after={after}"
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with asyncio.timeout(60), client.http.get(url, headers=headers) as stream:
        while len(told) < count:
            line = (await stream.content.readline()).decode()
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
    return told


async def test_consoles_hear_of_every_step_and_resume_where_they_left(
    movecar: Process, operator: Client
) -> None:
    _, case = await operator.post("/cases", new_case())
    await until(operator, case["id"], "calling")
    steps = await heard(operator, 2)
    assert [item["data"]["id"] for item in steps] == [case["id"]] * 2
    await operator.post(f"/cases/{case['id']}/withdraw", {"note": "不需要了"})
    steps += await heard(operator, 1, last=steps[-1]["seq"])
    assert steps[-1]["data"]["status"] == "cancelled"
    assert len({item["seq"] for item in steps}) == 3


async def test_cases_that_changed_together_are_told_one_by_one_and_resume_between_them(
    movecar: Process, operator: Client
) -> None:
    cases = []
    for plate in ("苏D10001", "苏D10003", "苏D10005"):
        _, case = await operator.post("/cases", new_case(plate))
        cases.append((await until(operator, case["id"], "calling"))["id"])
    now = movecar.kernel.clock.now()
    await movecar.kernel.relay.publish_pending()
    async with movecar.kernel.database.transaction() as session:
        before = await session.scalar(select(func.max(OutboxEntry.position))) or 0
        await emit(session, CasesChanged(occurred_at=now, case_ids=tuple(cases)))
        # As the version before wrote it.
        await emit(session, CasesChanged(occurred_at=now, case_id=cases[0]))

    told = await heard(operator, 4, after=before)
    assert [item["data"]["id"] for item in told] == [*cases, cases[0]]
    assert [item["seq"] for item in told] == list(range(before + 1, before + 5))
    assert len({item["id"] for item in told}) == 4
    assert await heard(operator, 2, last=told[1]["seq"]) == told[2:]


async def test_what_the_operator_tells_the_desk_reaches_it_beside_the_cases_own_note(
    movecar: Process, operator: Client
) -> None:
    _, case = await operator.post("/cases", new_case("苏D99999", note="车内有宠物"))
    await until(operator, case["id"], "attention")
    body = {"reason": "emergency_help", "note": "来电人称有人受伤"}
    assert (await operator.post(f"/cases/{case['id']}/escalate", body))[0] == 200
    (escalated,) = await emitted(movecar, CaseEscalated)
    details = movecar.kernel.keys.open(
        escalated["details_sealed"], f"escalation:{escalated['escalation_id']}"
    )
    assert json.loads(details)["note"] == "车内有宠物；来电人称有人受伤"
