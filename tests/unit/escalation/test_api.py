"""The desk's calls over real sockets."""

from typing import Any

import pytest
from sqlalchemy import select

from services.common.events import CaseWithdrawn
from services.common.http.auth import Role
from services.common.models import DeadLetter
from services.escalation.documents import EscalationAnswer, FeedPage
from tests.unit.escalation.harness import DETAILS, Desk, escalated


async def test_an_escalation_appears_in_the_feed_with_what_the_desk_needs(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    item = await desk.item(1)
    assert (item["seq"], item["type"]) == (1, "escalation.raised")
    data = item["data"]
    assert (data["escalation_id"], data["case_id"]) == (escalation_id, "case-1")
    assert (data["reason"], data["status"]) == ("dispute", "raised")
    for name in (
        "case_number",
        "plate",
        "plate_color",
        "location",
        "situation",
        "requester_phone",
        "operator",
    ):
        assert data[name] == DETAILS[name]
    (attempt,) = data["attempts"]
    assert attempt["ended_at"] == "2026-04-01T08:00:30.000+08:00"
    assert item["occurred_at"].endswith("+08:00")


async def test_the_feed_answers_what_its_document_promises(desk: Desk) -> None:
    await desk.escalate()
    await desk.item(1)
    page = await desk.feed()
    assert FeedPage.model_validate(page).model_dump(mode="json") == page


async def test_nothing_personal_is_stored_or_emitted_in_clear(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    await desk.call("POST", f"/escalations/{escalation_id}/ack", {"officer": "王警官"})
    await desk.call("POST", f"/escalations/{escalation_id}/disposition", {"code": "moved", "note": "已劝离"})
    await desk.item(3)
    async with desk.kernel.database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        dump = "\n".join([line async for line in driver.iterdump()])
    assert "escalation.disposed" in dump
    for secret in ("苏D10005", "13900001111", "延政中路", "王警官", "已劝离"):
        assert secret not in dump


async def test_the_same_escalation_twice_is_one_item(desk: Desk) -> None:
    await desk.emit(*(escalated(desk.kernel, "e-1", DETAILS) for _ in range(2)))
    await desk.escalate()
    await desk.item(2)
    page = await desk.feed()
    assert [item["seq"] for item in page["items"]] == [1, 2]
    assert len({item["data"]["escalation_id"] for item in page["items"]}) == 2


async def test_an_escalation_that_cannot_be_read_is_set_aside_and_blocks_nothing(desk: Desk) -> None:
    bad = escalated(desk.kernel, "e-bad", DETAILS | {"note": "长" * 4001})
    await desk.emit(bad)
    good = await desk.escalate()
    assert (await desk.item(1))["data"]["escalation_id"] == good
    async with desk.kernel.database.reading() as session:
        letters = list(await session.scalars(select(DeadLetter)))
    assert [letter.event_id for letter in letters] == [bad.event_id]
    assert "13900001111" not in repr(letters[0].payload) + letters[0].error


async def test_acknowledging_twice_gives_one_item_one_event_and_the_same_answer(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    path = f"/escalations/{escalation_id}/ack"
    first = await desk.call("POST", path, {"officer": "王警官"})
    again = await desk.call("POST", path, {"officer": "赵警官"})
    assert first == again
    assert first[0] == 200
    assert (first[1]["status"], first[1]["officer"]) == ("acknowledged", "王警官")
    assert first[1]["acknowledged_by"] == "desk1"
    page = await desk.feed()
    assert [item["type"] for item in page["items"]] == ["escalation.raised", "escalation.acknowledged"]
    events = [payload for kind, payload in await desk.emitted() if kind == "escalation.acknowledged.v1"]
    assert [(event["escalation_id"], event["by"]) for event in events] == [(escalation_id, "desk1")]


async def test_an_acknowledgement_needs_no_body(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    status, answer = await desk.call("POST", f"/escalations/{escalation_id}/ack")
    assert (status, answer["status"], answer["officer"]) == (200, "acknowledged", None)


@pytest.mark.parametrize("acknowledged_before", [True, False])
async def test_a_disposition_goes_to_the_feed_and_back_to_the_case(
    desk: Desk, acknowledged_before: bool
) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    if acknowledged_before:
        await desk.call("POST", f"/escalations/{escalation_id}/ack")
    body = {"code": "towed", "note": "拖至停车场"}
    status, answer = await desk.call("POST", f"/escalations/{escalation_id}/disposition", body)
    assert (status, answer["status"], answer["disposition"]) == (200, "disposed", body)
    page = await desk.feed()
    last = page["items"][-1]
    assert (last["type"], last["data"]["disposition"]) == ("escalation.disposed", body)
    assert page["next"] == last["seq"] == (3 if acknowledged_before else 2)
    kind, payload = (await desk.emitted())[-1]
    assert (kind, payload["code"], payload["by"]) == ("escalation.disposed.v1", "towed", "desk1")


async def test_a_disposition_repeats_with_its_code_and_conflicts_with_another(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    path = f"/escalations/{escalation_id}/disposition"
    first = await desk.call("POST", path, {"code": "moved", "note": "一"})
    assert await desk.call("POST", path, {"code": "moved", "note": "二"}) == first
    status, problem = await desk.call("POST", path, {"code": "towed", "note": ""})
    assert (status, problem["code"], problem["escalation_status"]) == (409, "illegal_transition", "disposed")
    status, problem = await desk.call("POST", f"/escalations/{escalation_id}/ack")
    assert (status, problem["code"], problem["escalation_status"]) == (409, "illegal_transition", "disposed")
    assert len((await desk.feed())["items"]) == 2


async def test_a_withdrawn_escalation_is_told_once_and_cannot_be_taken_over(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    now = desk.kernel.clock.now()
    for _ in range(2):
        await desk.emit(CaseWithdrawn(occurred_at=now, case_id="case-1", escalation_id=escalation_id))
    await desk.escalate()
    await desk.item(3)
    kinds = [item["type"] for item in (await desk.feed())["items"]]
    assert kinds == ["escalation.raised", "escalation.withdrawn", "escalation.raised"]
    status, problem = await desk.call("POST", f"/escalations/{escalation_id}/ack")
    assert (status, problem["escalation_status"]) == (409, "withdrawn")


async def test_a_withdrawal_after_the_disposition_changes_nothing(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    await desk.call("POST", f"/escalations/{escalation_id}/disposition", {"code": "moved"})
    now = desk.kernel.clock.now()
    await desk.emit(CaseWithdrawn(occurred_at=now, case_id="case-1", escalation_id=escalation_id))
    await desk.escalate()
    assert (await desk.item(3))["type"] == "escalation.raised"
    _, answer = await desk.call("GET", f"/escalations/{escalation_id}")
    assert answer["status"] == "disposed"


async def test_a_repeat_under_one_key_answers_as_the_first_time(desk: Desk) -> None:
    escalation_id = await desk.escalate()
    await desk.item(1)
    key = {"Idempotency-Key": "k-1"}
    path, body = f"/escalations/{escalation_id}/ack", {"officer": "王"}
    first = await desk.call("POST", path, body, headers=key)
    assert await desk.call("POST", path, body, headers=key) == first


async def test_the_list_pages_newest_first_and_filters_by_status(desk: Desk) -> None:
    ids = [await desk.escalate() for _ in range(5)]
    await desk.item(5)
    await desk.call("POST", f"/escalations/{ids[1]}/ack")
    shown: list[str] = []
    cursor = ""
    while True:
        _, page = await desk.call("GET", f"/escalations?limit=2{cursor}")
        shown += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert shown == ids[::-1]
    _, page = await desk.call("GET", "/escalations?status=acknowledged")
    assert [item["id"] for item in page["items"]] == [ids[1]]
    assert page["items"][0]["seq"] == 2
    assert EscalationAnswer.model_validate(page["items"][0]).plate == "苏D10005"


async def test_the_feed_pages_by_its_cursor(desk: Desk) -> None:
    for _ in range(5):
        await desk.escalate()
    await desk.item(5)
    page = await desk.feed(limit=2)
    assert ([item["seq"] for item in page["items"]], page["next"]) == ([1, 2], 2)
    page = await desk.feed(after=2)
    assert ([item["seq"] for item in page["items"]], page["next"]) == ([3, 4, 5], 5)
    assert await desk.feed(after=5) == {"items": [], "next": 5}


async def test_a_cursor_from_the_future_is_refused_by_name(desk: Desk) -> None:
    await desk.escalate()
    await desk.item(1)
    status, problem = await desk.call("GET", "/feed?after=2&wait=30")
    assert (status, problem["errors"][0]["field"]) == (422, "after")
    status, problem = await desk.call("GET", "/feed/stream?after=2")
    assert (status, problem["errors"][0]["field"]) == (422, "after")
    status, problem = await desk.call("GET", "/feed/stream", headers={"Last-Event-ID": "2"})
    assert (status, problem["errors"][0]["field"]) == (422, "Last-Event-ID")


_CALLS = [
    ("GET", "/feed"),
    ("GET", "/feed/stream"),
    ("GET", "/escalations"),
    ("GET", "/escalations/e-1"),
    ("POST", "/escalations/e-1/ack"),
    ("POST", "/escalations/e-1/disposition"),
]


@pytest.mark.parametrize("role", ["operator", "supervisor", "auditor", "admin"])
async def test_other_roles_are_refused(desk: Desk, role: Role) -> None:
    for method, path in _CALLS:
        status, problem = await desk.call(method, path, role=role)
        assert (status, problem["code"]) == (403, "forbidden"), path


async def test_nobody_is_let_in_without_a_session(desk: Desk) -> None:
    for method, path in _CALLS:
        status, problem = await desk.call(method, path, role=None)
        assert (status, problem["code"]) == (401, "unauthenticated"), path


@pytest.mark.parametrize(
    "escalation_id",
    [
        # well-formed, not there
        "0" * 32,
        # NUL, which PostgreSQL refuses with an error of its own
        "%00",
        # a quote and a comment
        "'%20OR%201=1--",
        # longer than any id
        "a" * 65,
        # a line break and another script
        "a%0A",
        "升级",
    ],
)
async def test_an_unknown_id_is_not_found(desk: Desk, escalation_id: str) -> None:
    for method, tail, body in (
        ("GET", "", None),
        ("POST", "/ack", {}),
        ("POST", "/disposition", {"code": "x"}),
    ):
        status, problem = await desk.call(method, f"/escalations/{escalation_id}{tail}", body)
        assert (status, problem["code"]) == (404, "not_found")
