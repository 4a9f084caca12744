"""Placing calls on a real Asterisk and reading what became of them."""

import array
import math
import uuid
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.asterisk.render import CALLER_ID
from deploy.stack.ami_probe import Message
from deploy.stack.asterisk import Asterisk
from services.common.ami import actions
from services.common.events import AttemptOutcome
from services.common.speech import speak
from services.outbound.calls import CallFacts, Ended, outcome_of, read_event

PLATE = "苏D10001"


@dataclass
class PlacedCall:
    """One attempt and all AMI events about it, in order."""

    called: str
    script: int = 1
    mode: str = "notice"
    seat: str = ""
    trunk: str = "trunk"
    attempt: str = field(default_factory=lambda: uuid.uuid4().hex)
    events: list[Message] = field(default_factory=list)

    def wire(self, ring_seconds: float = 5) -> bytes:
        """The Originate as the product builds it."""
        return actions.originate(
            attempt_id=self.attempt,
            callee=self.called,
            caller_id=CALLER_ID,
            script=self.script,
            speak=speak(PLATE),
            ring_seconds=ring_seconds,
            mode=self.mode,
            seat=self.seat,
            trunk=self.trunk,
        ).wire()

    @property
    def over(self) -> bool:
        """Both of the events that every call ends with have come; Asterisk sends them in either order."""
        return {"OriginateResponse", "Hangup"} <= {event["Event"] for event in self.events}

    @property
    def outcome(self) -> AttemptOutcome:
        """What the product makes of the events."""
        facts = CallFacts()
        cause, status = -1, None
        for event in self.events:
            read = read_event(event["Event"], event)
            if isinstance(read, Ended):
                cause, status = read.cause, read.status
            elif read is not None:
                facts = facts.after(read)
        return outcome_of(facts, cause, status)

    def user_events(self, kind: str) -> list[Message]:
        """The dialplan's events of this kind."""
        return [event for event in self.events if event.get("UserEvent") == kind]


def place(switch: Asterisk, calls: Sequence[PlacedCall]) -> None:
    """Place calls at the same time and return when all are over."""
    placed = {call.attempt: call for call in calls}
    with switch.connect(deadline=60) as probe:
        for call in calls:
            probe.send_bytes(call.wire())

        def last_one_is_over(message: Message) -> bool:
            call = placed.get(message.get("Uniqueid", ""))
            if call is not None and "Event" in message:
                call.events.append(message)
            return all(call.over for call in calls)

        probe.until(last_one_is_over)


def left_result(switch: Asterisk, attempt: str) -> str | None:
    """What the dialplan left in AstDB about an attempt, None when nothing."""
    with switch.connect() as probe:
        answer = probe.ask(("Action", "DBGet"), ("Family", "movecar"), ("Key", attempt))
        if answer["Response"] != "Success":
            return None
        return probe.until(lambda event: event.get("Event") == "DBGetResponse")[-1]["Val"]


def loudness(path: Path) -> tuple[float, int]:
    """Length in seconds and peak (of 32 767) of a recording."""
    with wave.open(str(path)) as sound:
        samples = array.array("h", sound.readframes(sound.getnframes()))
        return len(samples) / sound.getframerate(), max(map(abs, samples), default=0)


def tone(path: Path, hertz: int) -> list[float]:
    """Amplitude (of 32 767) of one frequency in each whole second of a recording, by Goertzel's algorithm."""
    with wave.open(str(path)) as sound:
        samples, rate = array.array("h", sound.readframes(sound.getnframes())), sound.getframerate()
    turn = 2 * math.cos(2 * math.pi * hertz / rate)
    amplitudes = []
    for first in range(0, len(samples) - rate + 1, rate):
        last = before = 0.0
        for sample in samples[first : first + rate]:
            last, before = sample + turn * last - before, last
        power = last * last + before * before - turn * last * before
        amplitudes.append(2 * math.sqrt(max(0.0, power)) / rate)
    return amplitudes
