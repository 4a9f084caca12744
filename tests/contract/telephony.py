"""What any telephone system must do for the dialler: the sandbox, and a real Asterisk with SIPp owners.

A test module makes a `Line` in a fixture and calls these checks; see `CHECKS` and `OUTCOMES`.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from services.common.ami import AmiLink, Refused
from services.common.events import AttemptOutcome, CallMode
from services.common.ids import new_id
from services.common.speech import speak
from services.outbound.calls import (
    EVENT_NAMES,
    Answered,
    CallEvent,
    CallFacts,
    Ended,
    KeyPressed,
    OriginateFailed,
    Ringing,
    SeatConnected,
    SeatEvent,
    SeatLeft,
    SeatRinging,
    SeatUnavailable,
    outcome_of,
    outcome_of_failure,
)
from services.outbound.pbx import Call, Connected, Pbx

OUTCOMES: dict[str, AttemptOutcome] = {
    "0": "agreed",
    "1": "agreed",
    "2": "agreed",
    "3": "agreed",
    "4": "agreed",
    "5": "disputed",
    "6": "busy",
    "7": "no_answer",
    "8": "declined",
    "9": "hung_up",
}
"""Last digit of the owner's number → how an attempt ends."""

WANTED = EVENT_NAMES


@dataclass
class Seen:
    """What was heard of one attempt."""

    events: list[CallEvent] = field(default_factory=list)
    facts: CallFacts = field(default_factory=CallFacts)
    outcome: AttemptOutcome | None = None


@dataclass
class Line:
    """A dialler's view of the telephone system under test; `deadline` is in seconds of real time."""

    pbx: Pbx
    ring_seconds: float
    deadline: float
    seen: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        """Take in everything that is heard, until cancelled."""
        async for notice in self.pbx.stream():
            async with self._changed:
                if isinstance(notice, Connected):
                    self.connected.set()
                elif isinstance(notice, tuple):
                    for event in notice:
                        self._take(event)
                else:
                    self.connected.clear()
                self._changed.notify_all()

    def _take(self, event: CallEvent) -> None:
        seen = self.seen[event.attempt_id]
        seen.events.append(event)
        seen.facts = seen.facts.after(event)
        if seen.outcome is None and isinstance(event, Ended):
            seen.outcome = outcome_of(seen.facts, event.cause, event.status)
        elif seen.outcome is None and isinstance(event, OriginateFailed):
            seen.outcome = outcome_of_failure(event.reason)

    def to_seat(self, number: str, seat: str, mode: CallMode = "bridge") -> Call:
        """A call whose owner is to be connected to a seat, or may be."""
        return Call(
            attempt_id=new_id(),
            callee=number,
            caller_id="0519110",
            script=1,
            speak=speak("苏D10001"),
            ring_seconds=self.ring_seconds,
            mode=mode,
            seat=seat,
        )

    def call(self, digit: str, attempt_id: str | None = None) -> Call:
        return Call(
            attempt_id=attempt_id or new_id(),
            callee=f"1390000000{digit}",
            caller_id="0519110",
            script=1,
            speak=speak(f"苏D1000{digit}"),
            ring_seconds=self.ring_seconds,
        )

    async def until(self, attempt_id: str, reached: Callable[[Seen], bool]) -> Seen:
        """Wait until what was heard of an attempt satisfies `reached`."""
        async with asyncio.timeout(self.deadline), self._changed:
            await self._changed.wait_for(lambda: reached(self.seen[attempt_id]))
        return self.seen[attempt_id]

    async def ended(self, attempt_id: str) -> Seen:
        return await self.until(attempt_id, lambda seen: seen.outcome is not None)


@asynccontextmanager
async def open_line(link: AmiLink, *, ring_seconds: float, deadline: float) -> AsyncIterator[Line]:
    """Connect, and yield once events flow."""
    line = Line(Pbx(link), ring_seconds, deadline)
    tasks = [asyncio.create_task(line.pbx.run()), asyncio.create_task(line.listen())]
    try:
        async with asyncio.timeout(deadline):
            await line.connected.wait()
        yield line
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def every_digit_ends_as_its_owner_behaves(line: Line) -> None:
    calls = {digit: line.call(digit) for digit in OUTCOMES}
    await asyncio.gather(*(line.pbx.originate(call) for call in calls.values()))
    ended = {digit: await line.ended(call.attempt_id) for digit, call in calls.items()}
    assert {digit: seen.outcome for digit, seen in ended.items()} == OUTCOMES


async def an_agreeing_owner_is_heard_step_by_step(line: Line) -> None:
    call = line.call("1")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    kinds = [type(event) for event in seen.events]
    assert kinds.index(Ringing) < kinds.index(Answered) < kinds.index(KeyPressed) < kinds.index(Ended)
    assert seen.facts.key == "1"


async def a_live_call_is_listed_until_it_ends(line: Line) -> None:
    call = line.call("7")
    await line.pbx.originate(call)
    await line.until(call.attempt_id, lambda seen: any(isinstance(event, Ringing) for event in seen.events))
    assert call.attempt_id in await line.pbx.live_channels()
    await line.ended(call.attempt_id)
    assert call.attempt_id not in await line.pbx.live_channels()


async def an_answered_calls_result_is_left_for_a_client_that_was_away(line: Line) -> None:
    call = line.call("5")
    before = datetime.now(UTC) - timedelta(seconds=2)
    await line.pbx.originate(call)
    await line.ended(call.attempt_id)
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.outcome == "disputed"
    assert left.answered_at is not None
    assert left.ended_at is not None
    assert before <= left.answered_at <= left.ended_at


async def an_unanswered_calls_end_is_left_too(line: Line) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for digit, outcome in (("6", "busy"), ("7", "no_answer"), ("8", "declined")):
        call = line.call(digit)
        await line.pbx.originate(call)
        await line.ended(call.attempt_id)
        left = await line.pbx.left_result(call.attempt_id)
        assert left is not None
        assert (left.outcome, left.answered_at) == (outcome, None)
        assert left.ended_at is not None
        assert before <= left.ended_at


async def an_owner_who_hangs_up_at_once_leaves_that(line: Line) -> None:
    call = line.call("9")
    await line.pbx.originate(call)
    await line.ended(call.attempt_id)
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.outcome == "hung_up"
    assert left.answered_at is not None


async def a_ringing_call_can_be_hung_up_and_only_once(line: Line) -> None:
    call = line.call("7")
    await line.pbx.originate(call)
    await line.until(call.attempt_id, lambda seen: any(isinstance(event, Ringing) for event in seen.events))
    assert await line.pbx.hangup(call.attempt_id)
    await line.ended(call.attempt_id)
    assert not await line.pbx.hangup(call.attempt_id)


async def a_second_call_with_the_same_attempt_id_rings_nobody(line: Line) -> None:
    call = line.call("7")
    await line.pbx.originate(call)
    await line.until(call.attempt_id, lambda seen: any(isinstance(event, Ringing) for event in seen.events))
    with contextlib.suppress(Refused):  # Asterisk accepts it, and then makes no second channel of one id
        await line.pbx.originate(line.call("0", call.attempt_id))
    seen = await line.ended(call.attempt_id)
    assert [type(event) for event in seen.events] == [Ringing, Ended]
    assert seen.outcome == "no_answer"


async def it_says_which_caller_ids_it_would_force(line: Line) -> None:
    assert await line.pbx.caller_ids() == {"0519110"}


async def a_caller_id_without_an_endpoint_rings_nobody(line: Line) -> None:
    call = replace(line.call("0"), caller_id="0519119")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    assert seen.outcome == "congestion"
    assert [type(event) for event in seen.events] == [OriginateFailed]


TAKES_TIME = "13900000121"
"""An owner who presses 1, but not before the greeting is over."""
ASKS_FOR_A_PERSON = "13900000100"


def _seat_events(seen: Seen) -> list[type]:
    return [type(event) for event in seen.events if isinstance(event, SeatEvent)]


async def an_owner_is_connected_to_the_seat_after_the_greeting(line: Line) -> None:
    call = line.to_seat(TAKES_TIME, "op1")
    await line.pbx.originate(call)
    seen = await line.until(call.attempt_id, lambda seen: seen.facts.bridged)
    assert _seat_events(seen) == [SeatRinging, SeatConnected]
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.outcome == "wanted_operator"
    assert left.bridged_at is not None
    assert await line.pbx.hangup(call.attempt_id)
    seen = await line.ended(call.attempt_id)
    assert (seen.outcome, seen.facts.key) == ("wanted_operator", None)
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.answered_at is not None
    assert left.ended_at is not None
    assert left.bridged_at is not None
    assert left.answered_at <= left.bridged_at <= left.ended_at


async def a_seat_that_leaves_ends_the_call(line: Line) -> None:
    call = line.to_seat(TAKES_TIME, "brief")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    assert _seat_events(seen) == [SeatRinging, SeatConnected, SeatLeft]
    assert seen.outcome == "wanted_operator"


async def without_the_seat_the_owner_is_given_the_menu(line: Line) -> None:
    call = line.to_seat(TAKES_TIME, "awayx")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    assert _seat_events(seen) == [SeatUnavailable]
    assert (seen.outcome, seen.facts.key) == ("agreed", "1")


async def key_0_connects_to_the_seat(line: Line) -> None:
    call = line.to_seat(ASKS_FOR_A_PERSON, "brief", "notice")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    assert _seat_events(seen) == [SeatRinging, SeatConnected, SeatLeft]
    assert (seen.outcome, seen.facts.key, seen.facts.bridged) == ("wanted_operator", "0", True)
    assert seen.facts.greetings_ended == 1


async def key_0_without_a_seat_is_told_that_somebody_will_call(line: Line) -> None:
    call = line.to_seat(ASKS_FOR_A_PERSON, "awayx", "notice")
    await line.pbx.originate(call)
    seen = await line.ended(call.attempt_id)
    assert _seat_events(seen) == [SeatUnavailable]
    assert (seen.outcome, seen.facts.bridged) == ("wanted_operator", False)


CHECKS: tuple[Callable[[Line], Awaitable[None]], ...] = (
    every_digit_ends_as_its_owner_behaves,
    an_agreeing_owner_is_heard_step_by_step,
    a_live_call_is_listed_until_it_ends,
    an_answered_calls_result_is_left_for_a_client_that_was_away,
    an_unanswered_calls_end_is_left_too,
    an_owner_who_hangs_up_at_once_leaves_that,
    a_ringing_call_can_be_hung_up_and_only_once,
    a_second_call_with_the_same_attempt_id_rings_nobody,
    it_says_which_caller_ids_it_would_force,
    a_caller_id_without_an_endpoint_rings_nobody,
    an_owner_is_connected_to_the_seat_after_the_greeting,
    a_seat_that_leaves_ends_the_call,
    without_the_seat_the_owner_is_given_the_menu,
    key_0_connects_to_the_seat,
    key_0_without_a_seat_is_told_that_somebody_will_call,
)

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
