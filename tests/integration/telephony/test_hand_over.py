"""The desk's line in the conversation of an owner and a seat, on a real Asterisk."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack.ami_probe import AmiProbe, Message
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from deploy.stack.seats import Seats
from services.common.ids import new_id
from services.escalation.desk_calls.line import DeskAnswer
from tests.integration.telephony.calls import PlacedCall
from tests.integration.telephony.test_desk_line import DEADLINE, WORDS, line_to

pytestmark = pytest.mark.timeout(120)

TALKS_ON = "13900000120"


@pytest.fixture(scope="module", params=["051981997321", "051981997326"], ids=["answers", "busy"])
def switch(
    server_home: Path, owners: Owners, quick_prompts: Path, request: pytest.FixtureRequest
) -> Iterator[Asterisk]:
    """A switch whose desk answers and confirms, and one whose desk is busy."""
    server = Asterisk(
        server_home / f"handing{request.param[-1]}",
        prompts=quick_prompts,
        trunk_uri=owners.uri,
        key_wait=1,
        max_seconds=60,
        seats=(("op1", secrets.token_hex(16)),),
        desk_number=request.param,
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def telephones(server_home: Path, switch: Asterisk) -> Iterator[Seats]:
    server = Seats(server_home / f"handing-seats{switch.settings.desk_number[-1]}", switch.settings)
    server.start()
    yield server
    server.stop()


def test_the_desk_joins_and_the_call_goes_on_without_the_operator_or_stays_with_him(
    switch: Asterisk, telephones: Seats
) -> None:
    assert telephones.child.running
    call, desk_call = PlacedCall(TALKS_ON, mode="bridge", seat="op1"), new_id()
    with switch.connect(deadline=DEADLINE) as probe:
        probe.send_bytes(call.wire())
        probe.until(lambda event: _phase(event, call) == "connected")
        answer = asyncio.run(_join(switch, desk_call, call.attempt))
        if switch.settings.desk_number.endswith("6"):
            assert answer.outcome == "busy"
            assert len(_channels(probe)) == 2, "owner and operator go on talking"
            _hang_up(probe, call.attempt)
            return
        assert answer.outcome == "acknowledged"
        everybody = _channels(probe)
        assert {desk_call, call.attempt} < set(everybody)
        (seat,) = set(everybody) - {desk_call, call.attempt}
        _hang_up(probe, seat)
        probe.until(lambda event: event.get("Event") == "Hangup" and event["Uniqueid"] == seat)
        assert set(_channels(probe)) == {desk_call, call.attempt}, "the owner is left with the desk"
        _hang_up(probe, desk_call)
        seen = probe.until(lambda event: event.get("Event") == "Hangup" and event["Uniqueid"] == call.attempt)
        assert "left" in [_phase(event, call) for event in seen], "nobody is left alone in a conversation"


async def _join(switch: Asterisk, desk_call: str, attempt: str) -> DeskAnswer:
    async with line_to(switch) as line, asyncio.timeout(DEADLINE):
        return await line.call(desk_call, WORDS, attempt)


def _phase(event: Message, call: PlacedCall) -> str | None:
    ours = event.get("UserEvent") == "MovecarSeat" and event.get("AttemptId") == call.attempt
    return event["Phase"] if ours else None


def _channels(probe: AmiProbe) -> list[str]:
    probe.ask(("Action", "CoreShowChannels"))
    events = probe.until(lambda event: event.get("Event") == "CoreShowChannelsComplete")
    return [event["Uniqueid"] for event in events if event.get("Event") == "CoreShowChannel"]


def _hang_up(probe: AmiProbe, unique_id: str) -> None:
    probe.ask(("Action", "Hangup"), ("Channel", unique_id), ("Cause", "16"))
