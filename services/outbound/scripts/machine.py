"""A call script's states, and which script is in force at a moment (B3). Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

State = Literal["draft", "approved", "rejected", "withdrawn"]
"""As it is stored."""
Standing = Literal["draft", "scheduled", "in_force", "superseded", "rejected", "withdrawn"]
"""As people see it: an approved script is scheduled, in force or superseded, by time alone."""


class Trigger(StrEnum):
    """What people do with a script."""

    APPROVED = "approved"
    """By another person than the one who drafted it. Final: going back takes another notice."""
    REJECTED = "rejected"
    """By another person."""
    WITHDRAWN = "withdrawn"
    """By its author."""


class IllegalTransition(Exception):
    """This cannot be done to a script in that state."""

    def __init__(self, state: str, trigger: Trigger) -> None:
        super().__init__(f"{state} -[{trigger}]> ?")
        self.state = state
        self.trigger = trigger


TRANSITIONS: Final[dict[tuple[State, Trigger], State]] = {
    ("draft", Trigger.APPROVED): "approved",
    ("draft", Trigger.REJECTED): "rejected",
    ("draft", Trigger.WITHDRAWN): "withdrawn",
}
"""(state, trigger) → state. What is not here is illegal."""


def next_state(state: State, trigger: Trigger) -> State:
    """Return the state that follows. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise IllegalTransition(state, trigger) from None


@dataclass(frozen=True, slots=True)
class Approved:
    """What a call needs of an approved script (B1, B2): the caller ID, and the number of its greeting."""

    version: int
    caller_id: str
    greeting: str
    """Text with ``{plate}`` where the plate is spoken."""
    effective_at: datetime


def in_force(scripts: Iterable[Approved], now: datetime) -> Approved | None:
    """Return the script in force at `now`: what took effect last; of two at once, the later version."""
    begun = (script for script in scripts if script.effective_at <= now)
    return max(begun, key=lambda script: (script.effective_at, script.version), default=None)


def standing(state: State, version: int, effective_at: datetime | None, current: Approved | None) -> Standing:
    """Return how a script stands while `current` is in force."""
    if state != "approved" or effective_at is None or current is None:
        return state if state != "approved" else "scheduled"
    if version == current.version:
        return "in_force"
    later = (effective_at, version) > (current.effective_at, current.version)
    return "scheduled" if later else "superseded"
