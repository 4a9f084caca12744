"""Attempts, call records and recordings compared: what disagrees is found, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.ids import new_id
from services.outbound.evidence.billing import bill, connection
from services.outbound.evidence.calls import calls_of
from services.outbound.evidence.line import CallRecord
from services.outbound.evidence.reconcile import (
    DialledAttempt,
    Kind,
    Reconciliation,
    Recording,
    reconcile,
)
from tests.unit.outbound.evidence.switch import NOON, call_record

SECOND = timedelta(seconds=1)
JOIN = timedelta(seconds=8)


def attempt(attempt_id: str = "a" * 32, **changes: Any) -> DialledAttempt:
    """Return the attempt that `call_record` is the record of."""
    values: dict[str, Any] = {
        "id": attempt_id,
        "case_id": "c" * 32,
        "script_version": 1,
        "outcome": "agreed",
        "dialed_at": NOON,
        "answered_at": NOON + timedelta(seconds=4, microseconds=7),
        "ended_at": NOON + timedelta(seconds=10, microseconds=7),
        "had_channel": True,
    }
    return DialledAttempt(**(values | changes))


def unanswered(record: CallRecord) -> CallRecord:
    return replace(record, answered_at=None, billed=0.0, disposition="NO ANSWER")


A = "a" * 32
RECORD = call_record(A)
KEPT = {A: Recording("kept", "f" * 64)}
SEAT = call_record(unique_id="1795331439.17", linked_id=A, channel="PJSIP/seat-op1-0000000a")


def compare(
    attempts: Sequence[DialledAttempt],
    records: Sequence[CallRecord],
    recordings: dict[str, Recording] | None = KEPT,
) -> Reconciliation:
    return reconcile(attempts, calls_of(("main", record) for record in records), recordings)


def kinds(result: Reconciliation) -> list[tuple[str, str]]:
    return [(str(mismatch.kind), mismatch.subject) for mismatch in result.mismatches]


@pytest.mark.parametrize(
    ("attempts", "records", "recordings", "expected"),
    [
        # all three agree
        ([attempt()], [RECORD], KEPT, []),
        # nobody answered, and nothing had to be recorded
        ([attempt(answered_at=None, outcome="busy")], [unanswered(RECORD)], {}, []),
        # no channel came of it, so there is no record of one
        ([attempt(answered_at=None, outcome="failed", had_channel=False)], [], {}, []),
        # somebody originated a call by hand
        ([], [call_record(unique_id="1795331439.14", linked_id="1795331439.14")], KEPT, ["stranger"]),
        # a call under an id like ours that is none
        ([], [RECORD], KEPT, [("call_without_attempt", A)]),
        # a call by hand over another technology
        ([], [call_record("b" * 32, channel="other")], KEPT, [("call_without_attempt", "b" * 32)]),
        # two channels for one attempt
        ([attempt()], [RECORD, call_record(A)], KEPT, [("called_twice", A)]),
        # the same on another switch
        # a second way out from the attempt's own channel
        (
            [attempt()],
            [RECORD, call_record(unique_id="1795331439.15", linked_id=A)],
            KEPT,
            [("called_twice", A)],
        ),
        # the seat that the owner was connected to is no second call
        ([attempt()], [RECORD, SEAT], KEPT, []),
        # nor is a seat that rang in vain, whose channel was never joined with the owner's
        ([attempt()], [RECORD, replace(SEAT, linked_id="1795331439.17")], KEPT, []),
        # nor is a call to the desk's own line
        ([], [call_record("d" * 32, channel="PJSIP/desk-0000000b")], KEPT, []),
        # a channel that left a bridge has two records, and is one call
        (
            [attempt()],
            [
                replace(RECORD, ended_at=NOON + JOIN, duration=8.0, billed=4.0, sequence=1),
                replace(RECORD, started_at=NOON + JOIN, answered_at=NOON + JOIN, billed=2.0, sequence=2),
            ],
            KEPT,
            [],
        ),
        # the seat did not answer, which Asterisk writes into the owner's record
        ([attempt()], [replace(RECORD, disposition="NO ANSWER")], KEPT, []),
        # it was taken for not sent, and rang all the same
        ([attempt(dialed_at=None, outcome=None)], [RECORD], KEPT, [("called_undialled", A)]),
        # the switch's record is missing
        ([attempt()], [], KEPT, [("attempt_without_call_record", A)]),
        # the recording is missing
        ([attempt()], [RECORD], {}, [("answered_without_recording", A)]),
        ([attempt()], [RECORD], {A: Recording("missing")}, [("answered_without_recording", A)]),
        # nothing was said that could have been recorded
        ([attempt()], [RECORD], {A: Recording("silent")}, []),
        # this installation keeps no recordings
        ([attempt()], [RECORD], None, []),
        # gone before the dialplan's first step
        (
            [attempt(ended_at=NOON + timedelta(seconds=4.5))],
            [replace(RECORD, ended_at=NOON + timedelta(seconds=4.5), billed=0.5)],
            {},
            [],
        ),
        # we took it for answered, the switch did not
        ([attempt()], [unanswered(RECORD)], KEPT, [("disposition_differs", A)]),
        ([attempt(answered_at=None, outcome="busy")], [RECORD], KEPT, [("disposition_differs", A)]),
        # lengths that are just near enough, and just not
        ([attempt(ended_at=NOON + timedelta(seconds=10.99))], [RECORD], KEPT, []),
        ([attempt(ended_at=NOON + timedelta(seconds=11.01))], [RECORD], KEPT, [("duration_differs", A)]),
        # the dialplan's note has whole seconds
        (
            [attempt(answered_at=NOON + 4 * SECOND, ended_at=NOON + timedelta(seconds=11.5))],
            [RECORD],
            KEPT,
            [],
        ),
        # the record's own figures contradict one another: somebody changed it
        ([attempt()], [replace(RECORD, billed=600.0)], KEPT, [("duration_differs", A)]),
        # one record says two things
        ([attempt()], [RECORD, replace(RECORD, billed=6.5)], KEPT, [("duration_differs", A)]),
        # an unknown call is a person's to decide, whatever the record proves
        ([attempt(outcome="unknown")], [RECORD], KEPT, [("unknown_call", A)]),
        ([attempt(outcome="unknown", answered_at=None)], [], KEPT, [("unknown_call", A)]),
    ],
)
def test_what_disagrees_is_named(
    attempts: list[DialledAttempt],
    records: list[CallRecord],
    recordings: dict[str, Recording] | None,
    expected: list[Any],
) -> None:
    found = kinds(compare(attempts, records, recordings))
    if expected == ["stranger"]:
        expected = [("call_without_attempt", "1795331439.14")]
    assert found == expected


@pytest.mark.parametrize(
    ("records", "proved"),
    [
        ([RECORD], "answered"),
        ([unanswered(RECORD)], "not_answered"),
        ([], "no_call_record"),
    ],
)
def test_what_the_record_proves_of_an_unknown_call_is_told(records: list[CallRecord], proved: str) -> None:
    (mismatch,) = compare([attempt(outcome="unknown", answered_at=None)], records).mismatches
    assert mismatch.detail["proved"] == proved


def test_a_call_on_another_switch_for_the_same_attempt_is_a_second_one() -> None:
    calls = calls_of([("a", RECORD), ("b", RECORD)])
    assert kinds(reconcile([attempt()], calls, KEPT)) == [("called_twice", A)]


def test_a_switch_that_counts_from_zero_again_does_not_join_two_calls_into_one() -> None:
    later = timedelta(hours=1)
    again = replace(RECORD, started_at=NOON + later, answered_at=None, ended_at=NOON + later, billed=0.0)
    assert kinds(compare([attempt()], [RECORD, again])) == [("called_twice", A)]


@pytest.mark.parametrize(
    ("outcome", "record", "reason", "connected"),
    [
        ("agreed", RECORD, "answered", True),
        (
            "hung_up",
            RECORD,
            "answered",
            True,
        ),  # a mailbox, or somebody who hangs up: no record tells them apart
        ("failed", RECORD, "fault_of_ours", False),  # the owner heard nothing
        ("busy", unanswered(RECORD), "not_answered", False),
    ],
)
def test_a_call_is_billed_that_was_answered_and_could_speak(
    outcome: Any, record: CallRecord, reason: str, connected: bool
) -> None:
    answered = attempt().answered_at if connected or reason == "fault_of_ours" else None
    (proof,) = compare([attempt(outcome=outcome, answered_at=answered)], [record]).proofs
    assert connection(proof) == reason
    row = bill(proof)
    assert (row["connected"], row["connection"]) == (connected, reason)
    assert (row["dialed_at"], row["billed_seconds"]) == (record.started_at, record.billed)


def test_nothing_is_billed_that_does_not_agree() -> None:
    assert compare([attempt()], [RECORD], {}).proofs == []


@dataclass
class World:
    """Calls that agree, and what is done to them."""

    attempts: dict[str, DialledAttempt] = field(default_factory=dict)
    records: dict[str, list[CallRecord]] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    expected: set[tuple[str, str]] = field(default_factory=set)

    def add(self, answered: bool) -> str:
        attempt_id = new_id()
        self.attempts[attempt_id] = attempt(attempt_id)
        self.records[attempt_id] = [call_record(attempt_id)]
        if answered:
            self.recordings[attempt_id] = Recording("kept", "f" * 64)
        else:
            self.attempts[attempt_id] = attempt(attempt_id, answered_at=None, outcome="no_answer")
            self.records[attempt_id] = [unanswered(call_record(attempt_id))]
        return attempt_id

    def expect(self, kind: Kind, subject: str) -> None:
        self.expected.add((str(kind), subject))


def lose_record(world: World, each: str, answered: bool) -> None:
    del world.records[each]
    world.expect(Kind.ATTEMPT_WITHOUT_CALL_RECORD, each)


def lose_attempt(world: World, each: str, answered: bool) -> None:
    del world.attempts[each]
    world.expect(Kind.CALL_WITHOUT_ATTEMPT, each)


def lose_recording(world: World, each: str, answered: bool) -> None:
    if answered:
        del world.recordings[each]
        world.expect(Kind.ANSWERED_WITHOUT_RECORDING, each)


def call_again(world: World, each: str, answered: bool) -> None:
    world.records[each].append(call_record(each))
    world.expect(Kind.CALLED_TWICE, each)


def change_length(world: World, each: str, answered: bool) -> None:
    if answered:
        world.records[each] = [replace(record, billed=record.billed + 60) for record in world.records[each]]
        world.expect(Kind.DURATION_DIFFERS, each)


def change_disposition(world: World, each: str, answered: bool) -> None:
    told = attempt(each) if not answered else attempt(each, answered_at=None, outcome="busy")
    world.attempts[each] = told
    world.expect(Kind.DISPOSITION_DIFFERS, each)


def forget_outcome(world: World, each: str, answered: bool) -> None:
    world.attempts[each] = replace(world.attempts[each], outcome="unknown")
    world.expect(Kind.UNKNOWN_CALL, each)


def leave_alone(world: World, each: str, answered: bool) -> None:
    """Most calls are what they seem."""


HARM: list[Callable[[World, str, bool], None]] = [
    leave_alone,
    lose_record,
    lose_attempt,
    lose_recording,
    call_again,
    change_length,
    change_disposition,
    forget_outcome,
]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(HARM)), max_size=30), st.randoms())
def test_the_mismatches_are_exactly_the_ones_that_were_made(
    plan: list[tuple[bool, Callable[[World, str, bool], None]]], chance: Any
) -> None:
    world = World()
    for answered, harm in plan:
        harm(world, world.add(answered), answered)
    records = [("main", record) for share in world.records.values() for record in share]
    chance.shuffle(records)
    result = reconcile(world.attempts.values(), calls_of(records), world.recordings)
    assert set(kinds(result)) == world.expected
    assert len(result.mismatches) == len(world.expected)
    disagreeing = {subject for _, subject in world.expected}
    assert {proof.attempt.id for proof in result.proofs} == world.attempts.keys() - disagreeing
