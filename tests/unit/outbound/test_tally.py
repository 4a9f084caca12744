"""What is counted of calls in a span of time; on PostgreSQL by `tests/integration/outbound`."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from services.outbound.models import Attempt
from services.outbound.recordings.models import AttemptRecording
from services.outbound.tally import CallCount
from tests.unit.outbound.rig import Rig
from tests.unit.outbound.test_alarms import calls

LENGTH = timedelta(minutes=10)
NOTHING = {"placed": 0, "failed": 0, "unknown": 0, "under_way": 0, "waiting": 0, "unrecorded": None}
UP = {"state": "ringing", "outcome": None, "ended": None}
QUEUED = {"state": "queued", "outcome": None, "dialed": None, "ended": None}


def _given(begin: datetime, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the columns: times are given in seconds from the beginning of the span."""
    times = {"due": 60.0, "dialed": 60.0, "ended": 90.0} | {
        name: fields[name] for name in ("due", "dialed", "ended") if name in fields
    }
    moments = {
        f"{name}_at": None if value is None else begin + timedelta(seconds=value)
        for name, value in times.items()
    }
    other = {name: value for name, value in fields.items() if name not in times}
    return {name: begin if value == "then" else value for name, value in other.items()} | moments


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({}, {"placed": 1}),
        ({"outcome": "busy"}, {"placed": 1}),
        # the trunk's fault, ours, and a prompt that nobody heard
        ({"outcome": "congestion"}, {"placed": 1, "failed": 1}),
        ({"outcome": "failed"}, {"placed": 1, "failed": 1}),
        ({"outcome": "hung_up", "prompt_failed_at": "then"}, {"placed": 1, "failed": 1}),
        # nobody knows: counted once
        ({"outcome": "unknown"}, {"placed": 1, "unknown": 1}),
        ({"outcome": "unknown", "prompt_failed_at": "then"}, {"placed": 1, "unknown": 1}),
        # placed before, and up when it began
        ({"dialed": -30, "outcome": "unknown", "ended": 900}, {"unknown": 1}),
        ({"dialed": -30, "outcome": "failed"}, {"failed": 1}),
        # over before it began, or begun after it was over
        ({"dialed": -30, "ended": -1, "outcome": "unknown"}, {}),
        ({"due": 600, "dialed": 600, "ended": 630, "outcome": "unknown"}, {}),
        # up, or not looked into yet
        (UP, {"placed": 1, "under_way": 1}),
        (UP | {"dialed": -30}, {"under_way": 1}),
        # never placed: in the queue still, given up, kept back
        (QUEUED, {"waiting": 1}),
        (QUEUED | {"due": 600}, {}),
        (QUEUED | {"state": "ended"}, {}),
        (QUEUED | {"state": "ended", "outcome": "withheld", "ended": 60}, {}),
        # placed when it was over, though due before
        ({"due": 60, "dialed": 601, "ended": 630}, {"waiting": 1}),
        # the edges: from its beginning on, and before its end
        ({"dialed": 0}, {"placed": 1}),
        ({"dialed": -0.001}, {}),
    ],
)
async def test_each_call_counts_for_what_it_was_in_the_span(
    rig: Rig, fields: dict[str, Any], counted: dict[str, int]
) -> None:
    begin = rig.clock.now() - timedelta(hours=1)
    await calls(rig, 1, timedelta(hours=1), **_given(begin, fields))
    found = await CallCount(rig.database, recorded=False)(begin, begin + LENGTH)
    assert found.model_dump() == NOTHING | counted


@pytest.mark.parametrize(
    ("fields", "state", "unrecorded"),
    [
        # collected, or found to have nothing in it
        ({"greeting_started_at": "then"}, "kept", 0),
        ({"greeting_started_at": "then"}, "none", 0),
        # not there, or not yet
        ({"greeting_started_at": "then"}, "missing", 1),
        ({"greeting_started_at": "then"}, None, 1),
        # hung up before there was anything to record; nobody answered
        ({"greeting_started_at": None}, None, 0),
        ({"answered_at": None, "outcome": "busy"}, None, 0),
    ],
)
async def test_a_greeted_call_without_a_recording_is_counted(
    rig: Rig, fields: dict[str, Any], state: str | None, unrecorded: int
) -> None:
    begin = rig.clock.now() - timedelta(hours=1)
    await calls(rig, 1, timedelta(hours=1), **_given(begin, {"answered_at": "then"} | fields))
    if state is not None:
        async with rig.database.transaction() as session:
            (attempt,) = await session.scalars(select(Attempt.id))
            row = {"attempt_id": attempt, "id": "r", "state": state, "settled_at": begin}
            await session.execute(insert(AttemptRecording), [row])
    found = await CallCount(rig.database, recorded=True)(begin, begin + LENGTH)
    assert found.unrecorded == unrecorded
