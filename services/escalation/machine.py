"""What may happen to an escalation, on one screen (C2)."""

from collections.abc import Mapping
from typing import Literal, get_args

Status = Literal["raised", "acknowledged", "disposed", "withdrawn"]
Trigger = Literal["acknowledge", "dispose", "withdraw", "raise_again"]

STATUSES: tuple[Status, ...] = get_args(Status)
OPEN: frozenset[Status] = frozenset({"raised", "acknowledged"})

TRANSITIONS: Mapping[tuple[Status, Trigger], Status] = {
    ("raised", "acknowledge"): "acknowledged",
    # The desk repeats when an answer got lost, and two officers press at once: the first one counts.
    ("acknowledged", "acknowledge"): "acknowledged",
    # Dealt with on the spot: a disposition needs no acknowledgement before it.
    ("raised", "dispose"): "disposed",
    ("acknowledged", "dispose"): "disposed",
    # A repeat with the same code; another code is refused by `dispose`.
    ("disposed", "dispose"): "disposed",
    # Taken over and not dealt with in time: somebody must take it over anew (C3).
    ("acknowledged", "raise_again"): "raised",
    ("raised", "withdraw"): "withdrawn",
    ("acknowledged", "withdraw"): "withdrawn",
    # Events come at least once.
    ("withdrawn", "withdraw"): "withdrawn",
    # The requester withdrew while the desk was closing it: what the desk did stands.
    ("disposed", "withdraw"): "disposed",
}


class IllegalTransition(Exception):
    """The trigger is not possible in the escalation's present status."""

    def __init__(self, status: Status, trigger: Trigger) -> None:
        super().__init__(f"{status} -[{trigger}]> nowhere")
        self.status = status
        self.trigger = trigger


def follow(status: Status, trigger: Trigger) -> Status:
    """Return the status after a trigger; the same one for an expected repeat. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransition(status, trigger) from None


def dispose(status: Status, given: str | None, code: str) -> Status:
    """Return the status after a disposition with `code`, when it has `given`. Raises IllegalTransition."""
    if status == "disposed" and given != code:
        raise IllegalTransition(status, "dispose")
    return follow(status, "dispose")
