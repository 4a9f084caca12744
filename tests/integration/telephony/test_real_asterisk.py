"""Calls through a real Asterisk to SIPp owners: outcomes, caller ID, keys, recordings (B1, B2, B8)."""

from collections import Counter

import pytest

from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from services.common.events import AttemptOutcome
from services.outbound.calls import read_left
from services.outbound.evidence.line import read_line
from tests.integration.telephony.calls import PlacedCall, left_result, loudness, place

# called number, outcome, key that the owner's phone sends, whether the call is answered
OWNERS: list[tuple[str, AttemptOutcome, str | None, bool]] = [
    ("13805190000", "agreed", "1", True),  # the demo registry's numbers: the last digit decides
    ("13805190001", "agreed", "1", True),
    ("13805190004", "agreed", "1", True),
    ("13805190005", "disputed", "2", True),
    ("13805190006", "busy", None, False),
    ("13805190007", "no_answer", None, False),
    ("13805190008", "declined", None, False),
    ("13805190009", "hung_up", None, True),
    ("051982345671", "agreed", "1", True),  # a fixed line
    ("13900000100", "wanted_operator", "0", True),  # single numbers for the other outcomes
    ("13900000103", "refused", "3", True),
    ("13900000105", "no_input", "5", True),  # a key that the menu does not offer
    ("13900000110", "no_input", None, True),  # silence
    ("13900000404", "unallocated", None, False),
    ("13900000480", "no_answer", None, False),  # switched off
    ("13900000500", "congestion", None, False),
    ("13900000501", "failed", None, False),
    ("13900000503", "congestion", None, False),
]
ANSWERED = [row for row in OWNERS if row[3]]
SPOKEN_TO = [row for row in ANSWERED if row[1] != "hung_up"]
"""Who hangs up at once may be gone before the dialplan's first step: nothing is said, kept or left then."""

Calls = dict[str, PlacedCall]


@pytest.fixture(scope="module")
def before(owners: Owners) -> int:
    """How many calls had reached the owners, who are the whole session's, before those of this module."""
    return len(owners.invites())


@pytest.fixture(scope="module")
def calls(asterisk_server: Asterisk, owners: Owners, before: int) -> Calls:
    """One call to every owner of the table, all at the same time, all over."""
    placed = {number: PlacedCall(number) for number, *_ in OWNERS}
    place(asterisk_server, list(placed.values()))
    assert owners.child.running
    return placed


@pytest.mark.parametrize(("number", "outcome", "_key", "_answered"), OWNERS)
def test_every_owner_leads_to_the_outcome_of_the_table(
    calls: Calls, number: str, outcome: AttemptOutcome, _key: str | None, _answered: bool
) -> None:
    assert calls[number].outcome == outcome


def test_the_owners_are_called_from_0519110_and_no_other_number_is_on_the_wire(
    calls: Calls, owners: Owners, before: int
) -> None:
    invites = owners.invites()[before:]
    assert {invite.called for invite in invites} == calls.keys()
    for invite in invites:
        assert invite.caller == "0519110"
        assert invite.asserted == "0519110"
        assert invite.identities == {"0519110"}


def test_no_attempt_rings_a_phone_twice(calls: Calls, owners: Owners, before: int) -> None:
    rung = Counter(invite.called for invite in owners.invites()[before:])
    assert rung == Counter(calls.keys())


@pytest.mark.parametrize(("number", "_outcome", "key", "_answered"), ANSWERED)
def test_a_key_sent_over_rtp_arrives_as_an_event_of_the_attempt(
    calls: Calls, number: str, _outcome: AttemptOutcome, key: str | None, _answered: bool
) -> None:
    events = calls[number].user_events("MovecarKey")
    assert {event["Key"] for event in events} == ({key} if key else set())
    assert {event["AttemptId"] for event in events} <= {calls[number].attempt}


def test_silence_is_taken_for_an_answer_only_after_the_second_greeting(calls: Calls) -> None:
    phases = [event["Phase"] for event in calls["13900000110"].user_events("MovecarGreeting")]
    assert phases == ["start", "end", "start", "end"]


def test_an_owner_who_hangs_up_during_the_greeting_leaves_no_end_of_it(calls: Calls) -> None:
    phases = [event["Phase"] for event in calls["13805190009"].user_events("MovecarGreeting")]
    assert "end" not in phases


@pytest.mark.parametrize(("number", "outcome", "_key", "answered"), OWNERS)
def test_the_result_of_every_call_is_left_for_a_client_that_was_away(
    asterisk_server: Asterisk,
    calls: Calls,
    number: str,
    outcome: AttemptOutcome,
    _key: str | None,
    answered: bool,
) -> None:
    left = left_result(asterisk_server, calls[number].attempt)
    assert left is not None
    result = read_left(left)
    assert result.outcome == outcome
    assert result.ended_at is not None
    if not answered:
        assert result.answered_at is None
        return
    assert result.answered_at is not None
    assert result.answered_at <= result.ended_at


@pytest.mark.parametrize(("number", "_outcome", "_key", "_answered"), SPOKEN_TO)
def test_answered_calls_are_recorded(
    asterisk_server: Asterisk,
    calls: Calls,
    number: str,
    _outcome: AttemptOutcome,
    _key: str | None,
    _answered: bool,
) -> None:
    recording = asterisk_server.recording(calls[number].attempt)
    assert recording.is_file()
    seconds, peak = loudness(recording)
    assert seconds > 1
    assert peak > 5000, "the greeting is not in the recording"


def test_asterisk_s_own_call_records_have_one_row_for_every_attempt_and_agree_with_it(
    asterisk_server: Asterisk, calls: Calls
) -> None:
    records = [read_line(line) for line in asterisk_server.call_records.read_bytes().splitlines()]
    answered = {number for number, _, _, answered in OWNERS if answered}
    for number, call in calls.items():
        (record,) = [record for record in records if record.unique_id == call.attempt]
        assert (record.attempt_id, record.linked_id) == (call.attempt, call.attempt)
        assert record.endpoint.startswith("trunk")
        assert (record.answered_at is not None) == (number in answered)
        assert record.duration == pytest.approx((record.ended_at - record.started_at).total_seconds())


def test_no_file_of_the_switch_names_an_owner_s_number(asterisk_server: Asterisk, calls: Calls) -> None:
    written = [path for path in asterisk_server.settings.directory.rglob("*") if path.is_file()]
    for path in written:
        content = path.read_bytes()
        assert not any(number.encode() in content for number in calls), path


def test_only_the_events_that_are_needed_reach_the_client(calls: Calls) -> None:
    names = {event["Event"] for call in calls.values() for event in call.events}
    assert names <= {"Newstate", "OriginateResponse", "Hangup", "UserEvent"}
    assert len(calls["13805190001"].events) <= 8
