"""A new reader begins with what is open; each keeps a cursor of its own (C2)."""

import pytest

from tests.unit.escalation.harness import Desk


async def test_a_new_reader_finds_what_is_open_and_misses_nothing_after_it(desk: Desk) -> None:
    first = await desk.escalate()
    urgent = await desk.escalate(reason="emergency_help")
    await desk.item(2)
    status, snapshot = await desk.call("GET", "/feed/snapshot")
    assert status == 200
    assert [item["id"] for item in snapshot["escalations"]] == [urgent, first]  # most urgent first
    page = await desk.feed(after=snapshot["seq"])
    assert all(item["seq"] > snapshot["seq"] for item in page["items"])


async def test_what_is_dealt_with_is_not_in_the_snapshot(desk: Desk) -> None:
    escalation = await desk.escalate()
    await desk.item(1)
    await desk.call("POST", f"/escalations/{escalation}/disposition", {"code": "moved"})
    _, snapshot = await desk.call("GET", "/feed/snapshot")
    assert snapshot["escalations"] == []
    assert snapshot["seq"] >= 2


async def test_readers_keep_their_own_cursors_and_never_move_back(desk: Desk) -> None:
    for _ in range(3):
        await desk.escalate()
    await desk.item(3)
    await desk.call("PUT", "/feed/readers/screen-1", {"seq": 3})
    status, reader = await desk.call("PUT", "/feed/readers/screen-2", {"seq": 1})
    assert (status, reader["behind"] >= 2) == (200, True)
    _, again = await desk.call("PUT", "/feed/readers/screen-1", {"seq": 2})
    assert again["seq"] == 3
    _, listed = await desk.call("GET", "/feed/readers")
    assert [(item["name"], item["seq"]) for item in listed["items"]] == [("screen-1", 3), ("screen-2", 1)]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/feed/readers/screen-1", {"seq": 99}, "seq"),  # the future
        ("/feed/readers/screen-1", {"seq": -1}, "seq"),
        ("/feed/readers/screen-1", {}, "seq"),
        ("/feed/readers/a%20b", {"seq": 0}, "name"),  # not a name
    ],
)
async def test_a_cursor_that_cannot_be_is_refused(
    desk: Desk, path: str, body: dict[str, int], field: str
) -> None:
    status, problem = await desk.call("PUT", path, body)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("path", ["/feed/snapshot", "/feed/readers"])
async def test_only_the_desk_reads(desk: Desk, path: str) -> None:
    status, _ = await desk.call("GET", path, role="operator")
    assert status == 403


async def test_the_chain_shows_what_is_promised_and_what_was_done(desk: Desk) -> None:
    escalation = await desk.escalate(reason="emergency_help")
    await desk.item(2)  # raised, and the call that is asked for at once
    for role in ("desk", "supervisor", "auditor"):
        status, chain = await desk.call("GET", f"/escalations/{escalation}/chain", role=role)
        assert status == 200
    assert [step["step"] for step in chain["steps"]] == ["call"]
    assert chain["policy"]["stages"][0] == {"step": "call", "after": 0}
    assert [call["state"] for call in chain["calls"]] == ["queued"]
    assert "say" not in str(chain)
    status, _ = await desk.call("GET", "/escalations/nobody/chain")
    assert status == 404
