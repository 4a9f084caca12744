"""Greetings on a real Asterisk: whose is played, how soon after the answer, and from which number (B1–B3)."""

import array
import contextlib
import time
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.stack.ami_probe import Message
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from services.outbound.prompts.make import Voice, make
from services.outbound.scripts.wording import segments
from tests.integration.telephony.calls import PlacedCall, place

AGREEING = "13705190001"  # nobody else's in these tests
WITHIN_SECONDS = 0.3
"""How soon after the answer the greeting has to be heard."""
FIRST, SECOND = 440, 1200
"""The pitches, in Hz, that stand for the two greetings here."""


def _tone(hertz: int) -> Voice:
    return Voice(f"sh -c 'sox -n $0 synth 1.5 sine {hertz}' {{wav}} {{text}}")


@pytest.fixture(scope="module")
def switch(server_home: Path, owners: Owners, quick_prompts: Path) -> Iterator[Asterisk]:
    """A switch with two filed caller IDs, and greetings of its own for scripts 1 and 2."""
    server = Asterisk(
        server_home / "greetings",
        prompts=quick_prompts,
        trunk_uri=owners.uri,
        key_wait=1,
        caller_ids=("0519110", "0519119"),
    )
    server.start()
    for version, hertz in ((1, FIRST), (2, SECOND)):
        # as `movecar prompts build --script` does it, beside a running switch
        make(segments("您好，{plate}车主"), server.prompts / f"script-{version}", _tone(hertz))
    yield server
    server.stop()


def _sound(switch: Asterisk, call: PlacedCall) -> tuple[float, float]:
    """Return when something is first heard, in seconds, and its pitch in Hz."""
    deadline = time.monotonic() + 15
    samples, rate = array.array("h"), 8000
    while len(samples) < rate and time.monotonic() < deadline:  # it is written out after the hang-up
        time.sleep(0.05)
        with contextlib.suppress(EOFError, OSError), wave.open(str(switch.recording(call.attempt))) as file:
            rate = file.getframerate()
            samples = array.array("h", file.readframes(file.getnframes()))
    onset = next(at for at, sample in enumerate(samples) if abs(sample) > 1000)
    heard = samples[onset : onset + rate]
    crossings = sum(before < 0 <= after for before, after in pairwise(heard))
    return onset / rate, crossings * rate / len(heard)


@pytest.mark.parametrize(("script", "pitch"), [(1, FIRST), (2, SECOND)])
def test_the_greeting_that_is_played_is_that_of_the_calls_script(
    switch: Asterisk, script: int, pitch: int
) -> None:
    call = PlacedCall(AGREEING, script=script)
    place(switch, [call])
    assert call.outcome == "agreed"
    assert _sound(switch, call)[1] == pytest.approx(pitch, rel=0.05)


def test_a_script_without_a_greeting_is_a_fault_of_ours(switch: Asterisk) -> None:
    call = PlacedCall(AGREEING, script=3)
    place(switch, [call])
    assert call.outcome == "failed"
    (failure,) = call.user_events("MovecarPromptFailed")
    assert failure["Prompt"] == "script-3/greeting-head"


def test_the_endpoint_decides_the_caller_id_and_the_callerid_field_does_not(
    switch: Asterisk, owners: Owners
) -> None:
    call = PlacedCall("13705190006")
    seen = len(owners.invites())
    with switch.connect() as probe:
        probe.send_bytes(call.wire().replace(b"@trunk-0519110", b"@trunk-0519119"))
        probe.until(lambda event: event.get("Event") == "Hangup" and event["Uniqueid"] == call.attempt)
        answer = probe.ask(("Action", "Getvar"), ("Variable", "MOVECAR_CALLER_IDS"))
    (invite,) = owners.invites()[seen:]
    assert invite.identities == {"0519119"}
    assert answer["Value"] == "0519110,0519119"


def test_the_greeting_is_heard_within_300_ms_of_the_answer(switch: Asterisk) -> None:
    delays = []
    for _ in range(3):
        call = PlacedCall(AGREEING)
        seen: dict[str, float] = {}
        with switch.connect(deadline=30) as probe:
            probe.send_bytes(call.wire())

            def hung_up(event: Message, seen: dict[str, float] = seen, attempt: str = call.attempt) -> bool:
                if event.get("Uniqueid") == attempt:
                    up = event.get("Event") == "Newstate" and event["ChannelState"] == "6"
                    name = "answered" if up else event.get("Phase", event.get("Event", ""))
                    seen.setdefault(name, time.monotonic())
                return event.get("Event") == "Hangup" and event["Uniqueid"] == attempt

            probe.until(hung_up)
        # The recording begins before the greeting's event, so this is not less than what the owner waited.
        delays.append(seen["start"] - seen["answered"] + _sound(switch, call)[0])
        assert seen["answered"] <= seen["start"] < seen["end"]
    # the best of three: a busy machine delays what is read here, never what is played earlier
    assert min(delays) < WITHIN_SECONDS, delays
