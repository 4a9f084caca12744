from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import AttemptOutcome, AttemptState
from services.common.ids import new_id
from services.outbound import calls
from services.outbound.attempts import TRANSITIONS, UP, IllegalTransition, Trigger, next_state, origins
from services.outbound.calls import CAUSE_OUTCOMES, LeftResult
from services.outbound.lines import Route
from services.outbound.records import TRY_AGAIN_AFTER, AttemptRecord, Change

T0 = datetime(2026, 4, 1, 8, tzinfo=UTC)


def attempt(**fields: Any) -> AttemptRecord:
    """An attempt that was just claimed."""
    record = AttemptRecord(
        id=new_id(),
        contact_id=new_id(),
        case_id=new_id(),
        number=1,
        number_index=0,
        script_version=1,
        queued_at=T0,
        due_at=T0,
    )
    record.claim("1", Route("main", "trunk"), 1, T0)
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def change(trigger: Trigger, seconds: float = 1, **details: Any) -> Change:
    return Change("a" * 32, trigger, T0 + timedelta(seconds=seconds), **details)


ANSWER = [change(Trigger.RINGING, 1), change(Trigger.ANSWERED, 5), change(Trigger.GREETING_STARTED, 5)]
HEARD = [*ANSWER, change(Trigger.GREETING_ENDED, 20)]
LEFT = LeftResult("refused", T0 + timedelta(seconds=5), T0 + timedelta(seconds=30))

COURSES: list[tuple[list[Change], AttemptState, AttemptOutcome | None]] = [
    # on its way
    ([], "dialing", None),
    ([change(Trigger.RINGING)], "ringing", None),
    # 180 may come more than once
    ([change(Trigger.RINGING), change(Trigger.RINGING)], "ringing", None),
    (ANSWER, "answered", None),
    # some trunks answer without ringing
    ([change(Trigger.ANSWERED)], "answered", None),
    # the greeting tells of an answer that was missed
    ([change(Trigger.GREETING_STARTED)], "answered", None),
    # the key decides while the call is still up
    ([*HEARD, change(Trigger.KEY_PRESSED, key="1")], "answered", "agreed"),
    ([*HEARD, change(Trigger.KEY_PRESSED, key="2")], "answered", "disputed"),
    ([*HEARD, change(Trigger.KEY_PRESSED, key="3")], "answered", "refused"),
    ([*HEARD, change(Trigger.KEY_PRESSED, key="0")], "answered", "wanted_operator"),
    # a key without a meaning decides nothing
    ([*HEARD, change(Trigger.KEY_PRESSED, key="7")], "answered", None),
    # the first key with a meaning counts
    (
        [*HEARD, change(Trigger.KEY_PRESSED, key="9"), change(Trigger.KEY_PRESSED, key="2")],
        "answered",
        "disputed",
    ),
    (
        [*HEARD, change(Trigger.KEY_PRESSED, key="2"), change(Trigger.KEY_PRESSED, key="1")],
        "answered",
        "disputed",
    ),
    # and the hang-up changes nothing about it
    (
        [*HEARD, change(Trigger.KEY_PRESSED, key="1"), change(Trigger.ENDED, code=16)],
        "ended",
        "agreed",
    ),
    # not answered: the cause tells
    ([change(Trigger.ENDED, code=17)], "ended", "busy"),
    ([change(Trigger.RINGING), change(Trigger.ENDED, code=19)], "ended", "no_answer"),
    ([change(Trigger.RINGING), change(Trigger.ENDED, code=21)], "ended", "declined"),
    ([change(Trigger.ENDED, code=1)], "ended", "unallocated"),
    ([change(Trigger.ENDED, code=34)], "ended", "congestion"),
    # answered and gone before the menu was heard twice
    ([*HEARD, change(Trigger.ENDED, code=16)], "ended", "hung_up"),
    # heard it twice and pressed nothing
    (
        [*HEARD, change(Trigger.GREETING_STARTED), change(Trigger.GREETING_ENDED), change(Trigger.ENDED)],
        "ended",
        "no_input",
    ),
    # a prompt was missing: our fault, not the owner's silence
    ([*ANSWER, change(Trigger.PROMPT_FAILED), change(Trigger.ENDED, code=16)], "ended", "failed"),
    # unless the owner pressed a key all the same
    (
        [*ANSWER, change(Trigger.PROMPT_FAILED), change(Trigger.KEY_PRESSED, key="1"), change(Trigger.ENDED)],
        "ended",
        "agreed",
    ),
    # a cause nobody knows
    ([change(Trigger.ENDED, code=99)], "ended", "unknown"),
    # the channel's end comes first, the failed originate repeats it
    ([change(Trigger.ENDED, code=17), change(Trigger.ORIGINATE_FAILED, code=0)], "ended", "busy"),
    # there was no channel at all
    ([change(Trigger.ORIGINATE_FAILED, code=8)], "ended", "congestion"),
    ([change(Trigger.ORIGINATE_FAILED, code=0)], "ended", "congestion"),
    # an originate cannot fail once it was answered: then nothing is known
    ([*ANSWER, change(Trigger.ORIGINATE_FAILED, code=0)], "ended", "unknown"),
    # Asterisk would not do it
    ([change(Trigger.REFUSED)], "ended", "failed"),
    # provably nobody was rung
    ([change(Trigger.NOT_SENT, claim=2)], "queued", None),
    # found out after a gap
    ([change(Trigger.LEFT_RESULT, left=LEFT)], "ended", "refused"),
    ([change(Trigger.LEFT_ANSWER, left=LEFT)], "answered", "refused"),
    ([change(Trigger.LEFT_ANSWER, left=LEFT), change(Trigger.ENDED, code=16)], "ended", "refused"),
    ([change(Trigger.LOST)], "ended", "unknown"),
    # the key was heard before the call was lost
    ([*HEARD, change(Trigger.KEY_PRESSED, key="1"), change(Trigger.LOST)], "ended", "agreed"),
    # the first word stands, whatever is reported later
    ([change(Trigger.LOST), change(Trigger.KEY_PRESSED, key="1")], "ended", "unknown"),
    ([change(Trigger.LOST), change(Trigger.ENDED, code=17)], "ended", "unknown"),
]


@pytest.mark.parametrize(("course", "state", "outcome"), COURSES)
def test_a_call_takes_its_course(
    course: list[Change], state: AttemptState, outcome: AttemptOutcome | None
) -> None:
    record = attempt()
    for step in course:
        record.advance(step)
    assert (record.state, record.outcome) == (state, outcome)
    assert (record.ended_at is None) == (state != "ended")


ILLEGAL: list[tuple[AttemptState, Trigger]] = [
    # nobody rings what is queued: a PBX that says so is not believed
    ("queued", Trigger.RINGING),
    ("queued", Trigger.ENDED),
    ("queued", Trigger.LOST),
    # what was sent was sent
    ("ringing", Trigger.NOT_SENT),
    ("answered", Trigger.NOT_SENT),
    ("ringing", Trigger.REFUSED),
    # a phone in use does not ring
    ("answered", Trigger.RINGING),
    # claimed once, for ever (B5)
    ("dialing", Trigger.CLAIMED),
    ("ringing", Trigger.CLAIMED),
    ("answered", Trigger.CLAIMED),
    ("ended", Trigger.CLAIMED),
    ("ended", Trigger.NOT_SENT),
    # too late to cancel
    ("dialing", Trigger.WITHDRAWN),
    ("ended", Trigger.WITHDRAWN),
]


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL)
def test_what_cannot_happen_is_an_error(state: AttemptState, trigger: Trigger) -> None:
    with pytest.raises(IllegalTransition, match=rf"{state} -\[{trigger}\]> \?"):
        next_state(state, trigger)


def test_only_a_queued_attempt_can_be_claimed_and_an_attempt_goes_back_only_if_nobody_was_rung() -> None:
    assert origins(Trigger.CLAIMED) == ["queued"]
    assert [key for key, target in TRANSITIONS.items() if target == "queued"] == [
        ("dialing", Trigger.NOT_SENT)
    ]


def test_an_illegal_change_leaves_the_attempt_as_it_was() -> None:
    record = attempt(state="answered", answered_at=T0)
    before = repr(record)
    with pytest.raises(IllegalTransition):
        record.advance(change(Trigger.RINGING))
    assert repr(record) == before


def test_what_was_not_sent_waits_a_moment_in_the_queue() -> None:
    record = attempt()
    record.advance(change(Trigger.NOT_SENT, 3, claim=record.version))
    assert record.dialed_at is None
    assert record.claimed_by is None
    assert record.due_at == T0 + timedelta(seconds=3) + TRY_AGAIN_AFTER


def test_a_repeated_not_sent_cannot_take_back_a_later_claim() -> None:
    record = attempt()
    not_sent = change(Trigger.NOT_SENT, claim=record.version)
    record.advance(not_sent)
    record.version += 1
    record.claim("1", Route("main", "trunk"), 1, T0 + timedelta(seconds=5))
    with pytest.raises(IllegalTransition):
        record.advance(not_sent)
    assert record.state == "dialing"


def test_times_of_a_call_are_those_of_its_events() -> None:
    record = attempt()
    for step in [*HEARD, change(Trigger.KEY_PRESSED, 22, key="1"), change(Trigger.ENDED, 25, code=16)]:
        record.advance(step)
    seconds = {
        name: (getattr(record, name) - T0).total_seconds()
        for name in ("answered_at", "greeting_started_at", "greeting_ended_at", "key_at", "ended_at")
    }
    assert seconds == {
        "answered_at": 5,
        "greeting_started_at": 5,
        "greeting_ended_at": 20,
        "key_at": 22,
        "ended_at": 25,
    }
    assert (record.key, record.hangup_cause) == ("1", 16)


def test_a_result_left_by_the_dialplan_brings_its_times() -> None:
    record = attempt()
    record.advance(change(Trigger.LEFT_RESULT, 99, left=LEFT))
    assert (record.answered_at, record.ended_at) == (LEFT.answered_at, LEFT.ended_at)


def test_the_snapshot_tells_how_the_attempt_stands() -> None:
    record = attempt()
    record.advance(change(Trigger.ENDED, 4, code=17))
    snapshot = record.snapshot(T0)
    assert snapshot.attempt_id == record.id
    assert (snapshot.state, snapshot.outcome, snapshot.number) == ("ended", "busy", 1)
    assert snapshot.ended_at == T0 + timedelta(seconds=4)


EVENTS: list[tuple[calls.CallEvent, Trigger]] = [
    (calls.Ringing("a" * 32), Trigger.RINGING),
    (calls.Answered("a" * 32), Trigger.ANSWERED),
    (calls.GreetingStarted("a" * 32), Trigger.GREETING_STARTED),
    (calls.GreetingEnded("a" * 32), Trigger.GREETING_ENDED),
    (calls.KeyPressed("a" * 32, "3"), Trigger.KEY_PRESSED),
    (calls.PromptFailed("a" * 32), Trigger.PROMPT_FAILED),
    (calls.Ended("a" * 32, 17), Trigger.ENDED),
    (calls.OriginateFailed("a" * 32, 8), Trigger.ORIGINATE_FAILED),
]


@pytest.mark.parametrize(("event", "trigger"), EVENTS)
def test_every_event_of_the_pbx_is_a_change(event: calls.CallEvent, trigger: Trigger) -> None:
    seen = Change.seen(event, T0)
    assert (seen.attempt_id, seen.trigger, seen.at) == (event.attempt_id, trigger, T0)
    assert seen.key == getattr(event, "key", "")
    assert seen.code == getattr(event, "cause", getattr(event, "reason", 0))


changes = st.builds(
    change,
    st.sampled_from([trigger for trigger in Trigger if trigger not in {Trigger.CLAIMED, Trigger.WITHDRAWN}]),
    st.floats(0, 600),
    key=st.sampled_from("0123456789*#"),
    code=st.sampled_from([0, 99, *CAUSE_OUTCOMES]),
    claim=st.just(2),
    left=st.just(LEFT),
)


@given(st.lists(changes, max_size=12))
def test_whatever_the_pbx_says_a_decided_outcome_stands_and_the_end_is_the_end(course: list[Change]) -> None:
    record = attempt()
    for step in course:
        before = (record.state, record.outcome)
        try:
            record.advance(step)
        except IllegalTransition:
            assert (record.state, record.outcome) == before
        if before[1] is not None:
            assert record.outcome == before[1]
        if before[0] == "ended":
            assert record.state == "ended"
        assert (record.state == "ended") == (record.ended_at is not None)
        if record.state == "ended":
            assert record.outcome is not None
        elif record.outcome is not None:
            assert record.state in UP
        if record.state == "queued":
            return  # it is for the dialer again
