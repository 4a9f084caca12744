"""What may happen to a fault, a duty and a delivery, on one screen (C4)."""

from collections.abc import Mapping
from typing import TypeVar, cast

from services.escalation.faults.records import DeliveryState, DutyState, FaultState

StateT = TypeVar("StateT", bound=str)

FAULTS: Mapping[tuple[FaultState, str], FaultState] = {
    ("open", "recover"): "recovered",
    # A person presses twice, an event comes twice: the first moment stands.
    ("recovered", "recover"): "recovered",
}

DUTIES: Mapping[tuple[DutyState, str], DutyState] = {
    ("pending", "prove"): "kept",
    ("pending", "lapse"): "late",
    ("pending", "void"): "void",
    # Late is late, but the notice is still owed.
    ("late", "prove"): "kept_late",
    ("late", "void"): "void",
    # The other channels go on after the first proof.
    ("kept", "prove"): "kept",
    ("kept_late", "prove"): "kept_late",
    # What was void is proved by a try that was under way.
    ("void", "prove"): "void",
}

DELIVERIES: Mapping[tuple[DeliveryState, str], DeliveryState] = {
    ("pending", "prove"): "delivered",
    ("pending", "supersede"): "superseded",
    # A try that was under way when it was superseded got through: the proof is worth more.
    ("superseded", "prove"): "delivered",
    # Two tries overlapped, because the answer of the first came after its time: the first proof stands.
    ("delivered", "prove"): "delivered",
}


class IllegalTransition(Exception):
    """The trigger is not possible in the present state."""


def follow(table: Mapping[tuple[StateT, str], StateT], state: StateT, trigger: str) -> StateT:
    """Return the state after a trigger. Raises IllegalTransition."""
    try:
        return table[state, trigger]
    except KeyError:
        raise IllegalTransition(f"{cast(str, state)} -[{trigger}]> nowhere") from None
