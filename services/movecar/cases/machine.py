"""The case's states and what moves it from one to the next; nothing else changes a status."""

from datetime import datetime, timedelta
from typing import Literal, get_args

from services.common.events import ContactOutcome, EscalationReason
from services.common.settings import Settings

Status = Literal[
    "looking_up", "calling", "notified", "attention", "escalated", "handed_over", "closed", "cancelled"
]
Outcome = Literal[
    "moved",
    "no_complaint",
    "disputed",
    "refused",
    "unreachable",
    "not_found",
    "withdrawn",
    "handled_by_110",
]
AttentionReason = Literal[
    "not_found",
    "ambiguous_color",
    "special_plate",
    "registry_unavailable",
    "no_numbers",
    "wanted_operator",
    "call_withheld",
    "call_failed",
    "call_unknown",
]
EscalationStatus = Literal["raised", "acknowledged", "disposed", "withdrawn"]
Trigger = Literal[
    "found",
    "lookup_failed",
    "agreed",
    "disputed",
    "refused",
    "exhausted",
    "call_needs_person",
    "owner_agreed",
    "owner_disputed",
    "owner_refused",
    "moved",
    "grace_over",
    "still_blocked",
    "still_blocked_again",
    "plate_corrected",
    "redialled",
    "deadline_passed",
    "escalated_by_operator",
    "acknowledged",
    "disposed",
    "withdrawn",
]

STATUSES: tuple[str, ...] = get_args(Status)
OPEN: frozenset[str] = frozenset(STATUSES) - {"closed", "cancelled"}

TRANSITIONS: dict[tuple[Status, Trigger], Status] = {
    ("looking_up", "found"): "calling",
    ("looking_up", "lookup_failed"): "attention",
    ("looking_up", "deadline_passed"): "attention",
    ("calling", "agreed"): "notified",
    ("calling", "disputed"): "escalated",
    ("calling", "refused"): "escalated",
    ("calling", "exhausted"): "escalated",
    ("calling", "call_needs_person"): "attention",
    ("calling", "deadline_passed"): "attention",
    ("notified", "moved"): "closed",
    ("notified", "grace_over"): "closed",
    ("notified", "still_blocked"): "calling",
    ("notified", "still_blocked_again"): "escalated",
    ("attention", "plate_corrected"): "looking_up",
    # A redial asks the registry again: numbers change, and the lookup stays bound to this case (A3).
    ("attention", "redialled"): "looking_up",
    ("attention", "deadline_passed"): "escalated",
    # The operator has talked with the owner and says what came of it (B7).
    ("attention", "owner_agreed"): "notified",
    ("attention", "owner_disputed"): "escalated",
    ("attention", "owner_refused"): "escalated",
    ("escalated", "acknowledged"): "handed_over",
    # The desk may deal with a case in one step.
    ("escalated", "disposed"): "closed",
    # Two officers may take the same case, and the news of an acknowledgement comes at least once.
    ("handed_over", "acknowledged"): "handed_over",
    ("handed_over", "disposed"): "closed",
    ("looking_up", "escalated_by_operator"): "escalated",
    ("calling", "escalated_by_operator"): "escalated",
    ("notified", "escalated_by_operator"): "escalated",
    ("attention", "escalated_by_operator"): "escalated",
    ("looking_up", "withdrawn"): "cancelled",
    ("calling", "withdrawn"): "cancelled",
    ("notified", "withdrawn"): "cancelled",
    ("attention", "withdrawn"): "cancelled",
    ("escalated", "withdrawn"): "cancelled",
    ("handed_over", "withdrawn"): "cancelled",
}

CONTACT_TRIGGERS: dict[ContactOutcome, Trigger] = {
    "agreed": "agreed",
    "disputed": "disputed",
    "refused": "refused",
    "exhausted": "exhausted",
    "wanted_operator": "call_needs_person",
    "no_numbers": "call_needs_person",
    "withheld": "call_needs_person",
    "failed": "call_needs_person",
    "unknown": "call_needs_person",
}
"""What the end of a contact means for its case."""

CONTACT_ATTENTION: dict[ContactOutcome, AttentionReason] = {
    "wanted_operator": "wanted_operator",
    "no_numbers": "no_numbers",
    "withheld": "call_withheld",
    "failed": "call_failed",
    "unknown": "call_unknown",
}
"""Why a person must look at it."""

OwnerAnswer = Literal["agreed", "disputed", "refused"]
ANSWER_TRIGGERS: dict[OwnerAnswer, Trigger] = {
    "agreed": "owner_agreed",
    "disputed": "owner_disputed",
    "refused": "owner_refused",
}
"""What an owner can have said to the operator on the telephone."""

ANSWERED_BY_PHONE: frozenset[AttentionReason] = frozenset({"wanted_operator"})
"""Why a case waits for what the owner said: he was connected to a seat, or asked for a person."""

ESCALATION_OF_TRIGGER: dict[Trigger, EscalationReason] = {
    "disputed": "dispute",
    "refused": "owner_uncooperative",
    "owner_disputed": "dispute",
    "owner_refused": "owner_uncooperative",
    "exhausted": "unreachable",
    "still_blocked_again": "owner_uncooperative",
}
"""The reason the 110 desk is given when the case goes there by itself (C1)."""

ESCALATION_OF_ATTENTION: dict[AttentionReason, EscalationReason] = {
    "not_found": "vehicle_not_found",
    "ambiguous_color": "vehicle_not_found",
    "special_plate": "vehicle_not_found",
    "registry_unavailable": "registry_unavailable",
    "no_numbers": "unreachable",
    "wanted_operator": "unreachable",
    "call_withheld": "unreachable",
    "call_failed": "unreachable",
    "call_unknown": "unreachable",
}
"""The reason when nobody attended to the case in time."""

OUTCOME_OF_ESCALATION: dict[EscalationReason, Outcome] = {
    "dispute": "disputed",
    "owner_uncooperative": "refused",
    "unreachable": "unreachable",
    "vehicle_not_found": "not_found",
    "registry_unavailable": "not_found",
}
"""How calling the owner ended; what the desk then achieves is its disposition."""


class IllegalTransition(Exception):
    """The trigger means nothing in this status."""

    def __init__(self, status: str, trigger: Trigger) -> None:
        super().__init__(f"{trigger} is not possible in status {status}")
        self.status = status
        self.trigger = trigger


def next_status(status: Status, trigger: Trigger) -> Status:
    """Return the status a trigger leads to. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransition(status, trigger) from None


def deadline_of(status: Status, now: datetime, settings: Settings, numbers: int = 0) -> datetime | None:
    """Return when a case that entered `status` now must have moved on by itself (A5).

    None where a person holds it (the desk), or where it is over.
    """
    match status:
        case "looking_up":
            seconds = settings.lookup_deadline
        case "calling":
            seconds = longest_contact(settings, numbers) + settings.calling_margin
        case "notified":
            seconds = settings.notified_grace
        case "attention":
            seconds = settings.attention_deadline
        case _:
            return None
    return now + timedelta(seconds=seconds)


_LONGEST_CALL_SECONDS = 120.0


def longest_contact(settings: Settings, numbers: int) -> float:
    """Return the seconds after which every redial rule must have run out, at the worst."""
    rules = settings.redial
    waits: list[float] = [*rules.busy, *rules.no_answer, *rules.congestion, *rules.hung_up]
    one_number = sum(waits) + (len(waits) + 1) * (settings.ring_time + _LONGEST_CALL_SECONDS)
    return max(1, numbers) * one_number
