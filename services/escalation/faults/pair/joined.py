"""What two machines know of the same thing, put together: nothing lost, nothing twice (C4).

Each function is commutative, associative and idempotent: whatever order records arrive in, and however often,
all who have seen the same ones hold the same. So an exchange may repeat itself, and two journals may go into
one database in any order.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.escalation.faults.records import Delivery, Duty, DutyState, Fault, Finding, Maintenance

Shared = Fault | Duty | Delivery | Finding | Maintenance
"""What concerns both machines; parts and beats are each machine's own."""
_ORDER = ("desk", "supervisor", "drill")
_RANK: Mapping[DutyState, int] = {"pending": 0, "late": 1, "void": 2, "kept_late": 3, "kept": 3}


def joined(one: Any, other: Any) -> Any:
    """Return the record that says what both say; they have the same kind and id."""
    if one == other:
        return one
    match one, other:
        case Fault(), Fault():
            return _faults(one, other)
        case Duty(), Duty():
            return _duties(one, other)
        case Delivery(), Delivery():
            return _deliveries(one, other)
        case Finding(), Finding():
            at, fault = min(one.at, other.at), max(one.fault, other.fault)
            return replace(one, fault=fault, at=at, open=one.open and other.open)
    return min(one, other, key=repr)  # planned work never changes


def _faults(one: Fault, other: Fault) -> Fault:
    """It began when the first of them says so, and is over once either has seen it good again."""
    ends = [fault.recovered_at for fault in (one, other) if fault.recovered_at is not None]
    planned = [fault.planned_until for fault in (one, other) if fault.planned_until is not None]
    audiences = {name for fault in (one, other) for name in fault.audiences.split(",") if name}
    return replace(
        one,
        began_at=min(one.began_at, other.began_at),
        detected_at=min(one.detected_at, other.detected_at),
        audiences=",".join(name for name in _ORDER if name in audiences),
        reason=max(one.reason, other.reason, key=lambda text: (len(text), text)),
        opened_by=max(one.opened_by, other.opened_by),
        source=min(one.source, other.source),
        machine=min(one.machine, other.machine),
        downtime=one.downtime or other.downtime,
        planned=one.planned or other.planned,
        drill=one.drill or other.drill,
        planned_until=max(planned, default=None),
        state="recovered" if ends else "open",
        recovered_at=max(ends, default=None),
        lost=max(one.lost, other.lost, key=lambda text: (len(text), text)),
        flaps=max(one.flaps, other.flaps),
    )


def _duties(one: Duty, other: Duty) -> Duty:
    """Kept by the first proof that either has; whether that was in time follows from the earlier deadline."""
    since, due_at = min(one.since, other.since), min(one.due_at, other.due_at)
    proofs = [(duty.kept_at, duty.kept_by) for duty in (one, other) if duty.kept_at is not None]
    whole = replace(one, since=since, due_at=due_at)
    if proofs:
        kept_at, kept_by = min(proofs)
        state: DutyState = "kept" if kept_at <= due_at else "kept_late"
        return replace(whole, state=state, kept_at=kept_at, kept_by=kept_by)
    return replace(whole, state=max(one.state, other.state, key=lambda name: _RANK[name]))


def _deliveries(one: Delivery, other: Delivery) -> Delivery:
    """The first proof stands; that both machines have one is a notice given twice, and is counted."""
    if "delivered" not in {one.state, other.state}:
        rank = {"pending": 0, "superseded": 1}
        return max(one, other, key=lambda sent: (rank[sent.state], sent.tries, sent.next_try_at, repr(sent)))
    proofs = [sent for sent in (one, other) if sent.state == "delivered"]
    first = min(proofs, key=lambda sent: (sent.delivered_at, sent.machine, repr(sent)))
    machines = {sent.machine for sent in proofs}
    return replace(first, copies=max(len(machines), *(sent.copies for sent in proofs)))
