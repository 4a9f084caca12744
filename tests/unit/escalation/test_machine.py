"""Every status meets every trigger."""

import pytest

from services.escalation.machine import (
    STATUSES,
    TRANSITIONS,
    IllegalTransition,
    Status,
    Trigger,
    dispose,
    follow,
)

_TABLE: list[tuple[Status, Trigger, Status | None]] = [
    # what the desk does in order
    ("raised", "acknowledge", "acknowledged"),
    ("acknowledged", "dispose", "disposed"),
    # settled on the spot
    ("raised", "dispose", "disposed"),
    # repeats
    ("acknowledged", "acknowledge", "acknowledged"),
    ("disposed", "dispose", "disposed"),
    ("withdrawn", "withdraw", "withdrawn"),
    # the requester withdraws: before the desk, while it acts, after it has acted
    ("raised", "withdraw", "withdrawn"),
    ("acknowledged", "withdraw", "withdrawn"),
    ("disposed", "withdraw", "disposed"),
    # somebody else has dealt with it: whoever takes it over now must be told
    ("disposed", "acknowledge", None),
    # taken over and not dealt with in time
    ("acknowledged", "raise_again", "raised"),
    ("raised", "raise_again", None),
    ("disposed", "raise_again", None),
    ("withdrawn", "raise_again", None),
    # nothing to act on any more
    ("withdrawn", "acknowledge", None),
    ("withdrawn", "dispose", None),
]


@pytest.mark.parametrize(("status", "trigger", "after"), _TABLE)
def test_a_trigger_leads_where_the_table_says(status: Status, trigger: Trigger, after: Status | None) -> None:
    if after is not None:
        assert follow(status, trigger) == after
        return
    with pytest.raises(IllegalTransition) as refused:
        follow(status, trigger)
    assert (refused.value.status, refused.value.trigger) == (status, trigger)


def test_the_table_above_has_every_pair() -> None:
    assert len({(status, trigger) for status, trigger, _ in _TABLE}) == len(STATUSES) * 4
    assert set(TRANSITIONS) == {(status, trigger) for status, trigger, after in _TABLE if after is not None}


@pytest.mark.parametrize(
    ("status", "given", "code", "after"),
    [
        # first word
        ("raised", None, "moved", "disposed"),
        ("acknowledged", None, "moved", "disposed"),
        # said again
        ("disposed", "moved", "moved", "disposed"),
        # another word: the first one stands
        ("disposed", "moved", "towed", None),
        ("withdrawn", None, "moved", None),
    ],
)
def test_a_disposition_stands(status: Status, given: str | None, code: str, after: Status | None) -> None:
    if after is not None:
        assert dispose(status, given, code) == after
        return
    with pytest.raises(IllegalTransition):
        dispose(status, given, code)
