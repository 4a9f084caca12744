from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.scripts.machine import (
    TRANSITIONS,
    Approved,
    IllegalTransition,
    Trigger,
    in_force,
    next_state,
    standing,
)

T0 = datetime(2026, 4, 1, tzinfo=UTC)


def script(version: int, hours: float) -> Approved:
    return Approved(version, "0519110", "您好{plate}吗", T0 + timedelta(hours=hours))


# scripts as (version, hour of taking effect), hour, version in force
MOMENTS = [
    ([(1, -10)], 0, 1),
    ([(1, -10), (2, 5)], 4.999, 1),  # not yet
    ([(1, -10), (2, 5)], 5, 2),  # at its time, not after it
    ([(1, -10), (2, 5), (3, 6)], 7, 3),
    ([(1, -10), (2, 6), (3, 5)], 5.5, 3),  # a later draft with an earlier time
    ([(1, -10), (2, 6), (3, 5)], 6, 2),  # what takes effect last is in force, whatever its number
    ([(1, -10), (2, 5), (3, 5)], 5, 3),  # of two at once the later version
    ([(2, 5)], 4, None),
    ([], 0, None),
]


@pytest.mark.parametrize(("scripts", "hour", "version"), MOMENTS)
def test_the_script_that_took_effect_last_is_in_force(
    scripts: list[tuple[int, float]], hour: float, version: int | None
) -> None:
    found = in_force([script(*each) for each in scripts], T0 + timedelta(hours=hour))
    assert (found.version if found else None) == version


@given(st.permutations([(1, -10.0), (2, 1.0), (3, 1.0), (4, 0.5), (5, 9.0)]), st.floats(-9, 10))
def test_the_order_of_reading_does_not_matter_and_something_is_always_in_force(
    scripts: list[tuple[int, float]], hour: float
) -> None:
    now = T0 + timedelta(hours=hour)
    found = in_force([script(*each) for each in scripts], now)
    assert found is not None
    assert found == in_force([script(*each) for each in sorted(scripts)], now)
    assert found.effective_at <= now


def test_only_a_draft_can_be_decided_and_only_once() -> None:
    assert {state for state, _ in TRANSITIONS} == {"draft"}
    for state in ("approved", "rejected", "withdrawn"):
        for trigger in Trigger:
            with pytest.raises(IllegalTransition):
                next_state(state, trigger)


def test_an_approved_script_is_scheduled_in_force_or_superseded() -> None:
    current = script(2, 5)
    assert standing("approved", 2, current.effective_at, current) == "in_force"
    assert standing("approved", 1, T0, current) == "superseded"
    assert standing("approved", 3, T0 + timedelta(hours=9), current) == "scheduled"
    assert standing("draft", 4, None, current) == "draft"
    assert standing("rejected", 5, None, current) == "rejected"
