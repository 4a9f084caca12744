from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import ContactOutcome, EscalationReason
from services.common.settings import Settings
from services.movecar.cases.machine import (
    CONTACT_ATTENTION,
    CONTACT_TRIGGERS,
    ESCALATION_OF_ATTENTION,
    ESCALATION_OF_TRIGGER,
    OPEN,
    STATUSES,
    TRANSITIONS,
    AttentionReason,
    IllegalTransition,
    Status,
    Trigger,
    deadline_of,
    longest_contact,
    next_status,
)

NOW = datetime(2026, 4, 1, tzinfo=UTC)
SETTINGS = Settings(_env_file=None, data_dir=Path("unused"))
HELD_BY_THE_DESK = {"escalated", "handed_over"}


def test_every_open_case_has_a_person_or_a_deadline() -> None:
    for status in OPEN:
        has_deadline = deadline_of(status, NOW, SETTINGS, 1) is not None  # type: ignore[arg-type]
        assert has_deadline != (status in HELD_BY_THE_DESK), status


def test_every_status_with_a_deadline_has_a_way_on_when_it_passes() -> None:
    for status in OPEN - HELD_BY_THE_DESK:
        assert (status, "deadline_passed") in TRANSITIONS or (status, "grace_over") in TRANSITIONS, status


def test_every_open_case_can_be_withdrawn() -> None:
    assert {status for status, trigger in TRANSITIONS if trigger == "withdrawn"} == OPEN


def test_nothing_leaves_a_finished_case() -> None:
    assert {status for status, _ in TRANSITIONS} == OPEN


def test_every_status_is_reachable_from_a_new_case() -> None:
    reached: set[str] = {"looking_up"}
    fresh: set[str] = {"looking_up"}
    while fresh:
        fresh = {str(to) for (origin, _), to in TRANSITIONS.items() if origin in fresh} - reached
        reached |= fresh
    assert reached == set(STATUSES)


def test_every_outcome_of_a_contact_moves_a_calling_case() -> None:
    for outcome in get_args(ContactOutcome):
        trigger = CONTACT_TRIGGERS[outcome]
        status = next_status("calling", trigger)
        assert (status == "attention") == (outcome in CONTACT_ATTENTION), outcome
        assert (status == "escalated") == (trigger in ESCALATION_OF_TRIGGER), outcome


def test_an_unknown_call_goes_to_a_person_and_is_not_called_again() -> None:
    assert next_status("calling", CONTACT_TRIGGERS["unknown"]) == "attention"


def test_every_reason_for_attention_has_a_reason_for_the_desk() -> None:
    assert set(ESCALATION_OF_ATTENTION) == set(get_args(AttentionReason))
    assert set(ESCALATION_OF_ATTENTION.values()) <= set(get_args(EscalationReason))


@given(st.sampled_from(STATUSES), st.sampled_from(get_args(Trigger)))
def test_what_the_table_does_not_name_is_refused(status: Status, trigger: Trigger) -> None:
    if (status, trigger) in TRANSITIONS:
        assert next_status(status, trigger) == TRANSITIONS[status, trigger]
    else:
        with pytest.raises(IllegalTransition):
            next_status(status, trigger)


@given(st.integers(min_value=0, max_value=10))
def test_a_calling_case_waits_longer_than_its_redials_can_take(numbers: int) -> None:
    deadline = deadline_of("calling", NOW, SETTINGS, numbers)
    assert deadline is not None
    assert deadline - NOW > timedelta(seconds=longest_contact(SETTINGS, numbers))
    # The default rules for one number: 60+120 busy, 120+300 no answer, 5+15+30 congestion, 60 hung up.
    assert longest_contact(SETTINGS, 1) > 710
