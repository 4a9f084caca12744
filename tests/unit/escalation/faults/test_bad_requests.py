"""Whatever is sent to the API of faults, it gets a 4xx that names the field, and nothing changes."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.escalation.harness import Desk

MEGABYTE = "长" * 350_000


async def known(desk: Desk) -> tuple[str, Any]:
    """A fault that a person opened, with its notices."""
    body = {"component": "database", "reason": "断电"}
    status, fault = await desk.call("POST", "/faults", body, role="supervisor")
    assert status == 201
    return fault["id"], await everything(desk, fault["id"])


async def everything(desk: Desk, fault: str) -> Any:
    _, page = await desk.call("GET", "/faults", role="supervisor")
    _, notices = await desk.call("GET", f"/faults/{fault}/notices", role="supervisor")
    # What channels do meanwhile is theirs; what a person is on record with must not change.
    return page["items"], [one for one in notices["items"] if one["by"] == "supervisor1"]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        # a note of a megabyte, and one a little too long
        ("/faults/{fault}/notices", {"channel": "phone", "note": MEGABYTE}, 413, None),
        ("/faults/{fault}/notices", {"channel": "phone", "note": "长" * 1001}, 422, "note"),
        ("/faults", {"component": "database", "reason": MEGABYTE}, 413, None),
        # no proof at all, a channel that is none, fields of somebody else's
        ("/faults/{fault}/notices", {"channel": "phone", "note": ""}, 422, "note"),
        ("/faults/{fault}/notices", {"channel": "by phone", "note": "已告知"}, 422, "channel"),
        (
            "/faults/{fault}/notices",
            {"channel": "phone", "note": "已告知", "delivered_at": "x"},
            422,
            "delivered_at",
        ),
        # control characters and what other systems take for an instruction
        ("/faults/{fault}/notices", {"channel": "phone", "note": "已\u0000告知"}, 422, "note"),
        ("/faults", {"component": "database", "reason": "<script>"}, 422, "reason"),
        # ids that nobody has, and those of something else
        ("/faults/" + "0" * 32 + "/notices", {"channel": "phone", "note": "已告知"}, 404, None),
        ("/faults/{escalation}/notices", {"channel": "phone", "note": "已告知"}, 404, None),
        ("/faults/{escalation}/recover", {}, 404, None),
        ("/faults/%00/recover", {}, 404, None),
        # planned work that is over, or ends before it begins
        ("/faults/maintenance", {"component": "pbx", "from": "{past}", "to": "{past}"}, 422, "to"),
        ("/faults/maintenance", {"component": "pbx", "from": "2026-01-01", "to": "{past}"}, 422, "from"),
        # a drill that nobody would hear of: no channel for drills is set here
        ("/faults/drills", {"component": "database"}, 422, "real"),
        # a fault that begins tomorrow, or began long ago
        ("/faults", {"component": "pbx", "reason": "断", "began_at": "{future}"}, 422, "began_at"),
        (
            "/faults",
            {"component": "pbx", "reason": "断", "began_at": "2000-01-01T00:00:00Z"},
            422,
            "began_at",
        ),
    ],
)
async def test_it_is_refused_by_name_and_changes_nothing(
    desk: Desk, path: str, body: dict[str, str], status: int, field: str | None
) -> None:
    fault, before = await known(desk)
    now = desk.kernel.clock.now()
    words = {
        "{past}": (now - timedelta(hours=1)).isoformat(),
        "{future}": (now + timedelta(hours=1)).isoformat(),
    }
    given = {name: words.get(value, value) for name, value in body.items()}
    asked = path.format(fault=fault, escalation=await desk.escalate())
    async with desk.http.post(
        f"/api/v1{asked}",
        data=io.BytesIO(json.dumps(given).encode()),
        headers=desk.headers("supervisor", {"Content-Type": "application/json"}),
    ) as response:
        assert response.status == status
        problem = await response.json()
    if field is not None:
        assert [error["field"] for error in problem["errors"]] == [field]
    assert await everything(desk, fault) == before


async def test_the_desk_does_not_acknowledge_with_an_id_that_is_another_thing_s(desk: Desk) -> None:
    fault, before = await known(desk)
    escalation = await desk.escalate()
    raised = await desk.item(2)
    for foreign in (fault, raised["id"], "case-1"):
        for tail, body in (("ack", {}), ("disposition", {"code": "moved"})):
            status, problem = await desk.call("POST", f"/escalations/{foreign}/{tail}", body)
            assert (status, problem["code"]) == (404, "not_found")
    _, one = await desk.call("GET", f"/escalations/{escalation}")
    assert one["status"] == "raised"
    assert await everything(desk, fault) == before
