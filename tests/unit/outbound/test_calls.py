import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import AttemptOutcome
from services.outbound.calls import (
    CAUSE_OUTCOMES,
    EVENT_NAMES,
    Answered,
    CallEvent,
    CallFacts,
    Ended,
    GreetingEnded,
    GreetingStarted,
    HostileEvent,
    KeyPressed,
    LeftResult,
    OriginateFailed,
    PromptFailed,
    Ringing,
    SeatConnected,
    SeatLeft,
    SeatRinging,
    SeatUnavailable,
    TrunkSeen,
    outcome_of,
    outcome_of_failure,
    read_event,
    read_left,
    read_trunk,
)

A = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "fields", "event"),
    [
        ("Newstate", {"Uniqueid": A, "ChannelState": "5"}, Ringing(A)),
        ("Newstate", {"Uniqueid": A, "ChannelState": "6"}, Answered(A)),
        ("Newstate", {"Uniqueid": A, "ChannelState": "4"}, None),  # a state that says nothing of the owner
        ("Newstate", {"Uniqueid": "1718.22", "ChannelState": "6"}, None),  # somebody else's call
        ("Hangup", {"Uniqueid": A, "Cause": "17"}, Ended(A, 17)),
        ("Hangup", {"Uniqueid": "1718.22", "Cause": "x"}, None),
        ("OriginateResponse", {"ActionID": A, "Response": "Failure", "Reason": "3"}, OriginateFailed(A, 3)),
        ("OriginateResponse", {"ActionID": A, "Response": "Success", "Reason": "4"}, None),  # Newstate told
        ("OriginateResponse", {"ActionID": "7", "Response": "Failure", "Reason": "3"}, None),
        ("UserEvent", {"UserEvent": "MovecarGreeting", "AttemptId": A, "Phase": "start"}, GreetingStarted(A)),
        ("UserEvent", {"UserEvent": "MovecarGreeting", "AttemptId": A, "Phase": "end"}, GreetingEnded(A)),
        ("UserEvent", {"UserEvent": "MovecarKey", "AttemptId": A, "Key": "*"}, KeyPressed(A, "*")),
        ("UserEvent", {"UserEvent": "MovecarPromptFailed", "AttemptId": A}, PromptFailed(A)),
        ("UserEvent", {"UserEvent": "MovecarSeat", "AttemptId": A, "Phase": "ringing"}, SeatRinging(A)),
        ("UserEvent", {"UserEvent": "MovecarSeat", "AttemptId": A, "Phase": "connected"}, SeatConnected(A)),
        ("UserEvent", {"UserEvent": "MovecarSeat", "AttemptId": A, "Phase": "left"}, SeatLeft(A)),
        (
            "UserEvent",
            {"UserEvent": "MovecarSeat", "AttemptId": A, "Phase": "unavailable"},
            SeatUnavailable(A),
        ),
        ("UserEvent", {"UserEvent": "Other", "AttemptId": "whatever"}, None),
        ("FullyBooted", {}, None),
    ],
)
def test_ami_event_is_read(name: str, fields: dict[str, str], event: CallEvent | None) -> None:
    assert read_event(name, fields) == event


@pytest.mark.parametrize(
    ("name", "fields", "bad"),
    [
        ("Hangup", {"Uniqueid": A}, "Cause"),  # missing
        ("UserEvent", {"UserEvent": "MovecarSeat", "AttemptId": A, "Phase": "asleep"}, "Phase"),
        ("Hangup", {"Uniqueid": A, "Cause": "-1"}, "Cause"),
        ("Hangup", {"Uniqueid": A, "Cause": "１７"}, "Cause"),  # full-width digits
        ("OriginateResponse", {"ActionID": A, "Response": "Failure", "Reason": "9999"}, "Reason"),
        ("UserEvent", {"UserEvent": "MovecarKey", "AttemptId": A.upper(), "Key": "1"}, "AttemptId"),
        ("UserEvent", {"UserEvent": "MovecarKey", "AttemptId": A + "\n", "Key": "1"}, "AttemptId"),
        ("UserEvent", {"UserEvent": "MovecarKey", "AttemptId": A, "Key": "11"}, "Key"),
        ("UserEvent", {"UserEvent": "MovecarGreeting", "AttemptId": A, "Phase": "middle"}, "Phase"),
        ("UserEvent", {"UserEvent": "MovecarNew", "AttemptId": A}, "UserEvent"),
    ],
)
def test_forged_or_broken_event_of_ours_is_refused_by_field(
    name: str, fields: dict[str, str], bad: str
) -> None:
    with pytest.raises(HostileEvent) as error:
        read_event(name, fields)
    assert str(error.value) == bad


@given(
    st.sampled_from(sorted(EVENT_NAMES)),
    st.dictionaries(
        st.sampled_from(
            ["Uniqueid", "ActionID", "AttemptId", "UserEvent", "Key", "Phase", "Cause", "Reason", "Response"]
        ),
        st.text() | st.sampled_from([A, "MovecarKey", "MovecarGreeting", "Failure"]),
    ),
)
def test_no_event_does_more_than_be_read_or_be_refused(name: str, fields: dict[str, str]) -> None:
    try:
        event = read_event(name, fields)
    except HostileEvent:
        return
    assert event is None or event.attempt_id == A


GREETED = [Ringing(A), Answered(A), GreetingStarted(A), GreetingEnded(A)]


@pytest.mark.parametrize(
    ("events", "cause", "outcome"),
    [
        ([*GREETED, KeyPressed(A, "1")], 16, "agreed"),
        ([*GREETED, KeyPressed(A, "2")], 16, "disputed"),
        ([*GREETED, KeyPressed(A, "3")], 16, "refused"),
        ([*GREETED, KeyPressed(A, "0")], 16, "wanted_operator"),
        ([KeyPressed(A, "1")], 0, "agreed"),  # pressed during the greeting; earlier events were missed
        (
            [*GREETED, KeyPressed(A, "7"), *GREETED[2:], KeyPressed(A, "1")],
            16,
            "agreed",
        ),  # right the second time
        ([*GREETED, KeyPressed(A, "1"), KeyPressed(A, "2")], 16, "agreed"),  # the dialplan acts on the first
        ([*GREETED, KeyPressed(A, "1"), PromptFailed(A)], 16, "agreed"),  # only the goodbye was not heard
        ([*GREETED, *GREETED[2:]], 16, "no_input"),
        ([*GREETED, KeyPressed(A, "9"), *GREETED[2:]], 16, "no_input"),  # a key without meaning is no answer
        (GREETED, 16, "hung_up"),  # hung up before the second reading was over
        ([Ringing(A), Answered(A)], 0, "hung_up"),
        ([Answered(A), PromptFailed(A)], 16, "failed"),  # ours, not the owner's silence
        ([SeatConnected(A)], 16, "wanted_operator"),  # what was said, only the operator knows
        ([SeatUnavailable(A), KeyPressed(A, "1")], 16, "agreed"),
        ([SeatRinging(A)], 16, "hung_up"),
        ([Ringing(A)], 17, "busy"),
        ([Ringing(A)], 21, "declined"),
        ([Ringing(A)], 19, "no_answer"),
        ([], 18, "no_answer"),
        ([], 1, "unallocated"),
        ([], 22, "unallocated"),
        ([], 28, "unallocated"),
        ([], 34, "congestion"),
        ([], 38, "congestion"),
        ([], 41, "congestion"),
        ([], 42, "congestion"),
        ([], 44, "congestion"),
        ([], 102, "congestion"),
        ([Ringing(A)], 16, "unknown"),  # cleared before an answer, by whom is not known
        ([Ringing(A)], 0, "unknown"),
        ([], 999, "unknown"),
    ],
)
def test_outcome_follows_from_the_facts_and_the_cause(
    events: list[CallEvent], cause: int, outcome: AttemptOutcome
) -> None:
    facts = CallFacts()
    for event in events:
        facts = facts.after(event)
    assert outcome_of(facts, cause) == outcome


def test_an_answered_call_is_never_taken_for_one_that_may_be_redialled_as_unanswered() -> None:
    unanswered = set(CAUSE_OUTCOMES.values()) - {"failed"}
    assert {outcome_of(CallFacts(answered=True), cause) for cause in CAUSE_OUTCOMES}.isdisjoint(unanswered)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [(0, "congestion"), (3, "no_answer"), (5, "busy"), (8, "congestion"), (1, "unknown"), (99, "unknown")],
)
def test_failed_originate_without_a_channels_end(reason: int, outcome: AttemptOutcome) -> None:
    assert outcome_of_failure(reason) == outcome


T1, T2 = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 1, 0, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (f"agreed;{T1.timestamp():.0f};{T2.timestamp():.0f}", LeftResult("agreed", T1, T2)),
        (f"disputed;{T1.timestamp():.0f};", LeftResult("disputed", T1, None)),  # the goodbye still plays
        (f"hung_up;{T1.timestamp():.0f};0", LeftResult("hung_up", T1, None)),
        (f"cause-17;0;{T2.timestamp():.0f}", LeftResult("busy", None, T2)),
        (f"cause-3;0;{T2.timestamp():.0f}", LeftResult("congestion", None, T2)),
        (f"cause-16;0;{T2.timestamp():.0f}", LeftResult("unknown", None, T2)),  # it may have rung
        (
            f"bridged;{T1.timestamp():.0f};;{T2.timestamp():.0f}",
            LeftResult("wanted_operator", T1, None, bridged_at=T2),
        ),
    ],
)
def test_left_result_is_read(value: str, left: LeftResult) -> None:
    assert read_left(value) == left


@pytest.mark.parametrize(
    "value",
    [
        "",
        "agreed",
        "agreed;1;2;3",  # only a bridged call has a fourth part
        "bridged;1;2",
        "bridged;1;2;",
        "busy;1;2",
        "cause-17;1;2",  # answered after all?
        "cause-;0;2",
        "cause-17;0;",
        "agreed;-1;2",
        "agreed;1;2\n",
        "agreed;999999999999;1",
        "agreed;１;2",
    ],
)
def test_left_result_of_any_other_form_is_refused(value: str) -> None:
    with pytest.raises(HostileEvent):
        read_left(value)


@given(st.text() | st.builds(lambda *parts: ";".join(map(json.dumps, parts)), st.text(), st.integers()))
def test_no_left_text_does_more_than_be_read_or_be_refused(value: str) -> None:
    with contextlib.suppress(HostileEvent):
        read_left(value)


@pytest.mark.parametrize(
    ("username", "status", "seen"),
    [
        ("sip:u@10.0.0.1", "Registered", TrunkSeen("a", "unregistered", well=True)),
        ("sip:u@10.0.0.1", "Rejected", TrunkSeen("a", "unregistered", well=False)),
        ("sip:u@10.0.0.1", "Unregistered", TrunkSeen("a", "unregistered", well=False)),
        ("sip:u@10.0.0.1", "", TrunkSeen("a", "unregistered", well=False)),  # whatever it is, not registered
        ("sip:other@10.0.0.1", "Rejected", None),  # not one of our trunks
        ("", "Rejected", None),
    ],
)
def test_a_registrar_that_does_not_take_us_says_it_of_the_trunk(
    username: str, status: str, seen: TrunkSeen | None
) -> None:
    fields = {"ChannelType": "PJSIP", "Username": username, "Status": status}
    assert read_trunk("Registry", fields, {"sip:u@10.0.0.1": "a"}) == seen
    assert read_trunk("Registry", fields) is None
