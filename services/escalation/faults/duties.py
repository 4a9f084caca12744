"""What is owed to whom, and when: every fault and recovery is a duty with a deadline (C4)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from services.escalation.faults.records import Audience, Duty, DutyKind, Fault, Maintenance

PROMISE = timedelta(minutes=30)
"""From the fault, or the recovery, to the notice (K1 2(5))."""
ALARMS: tuple[tuple[DutyKind, timedelta], ...] = (
    ("alarm_10", timedelta(minutes=10)),
    ("alarm_20", timedelta(minutes=20)),
)
"""When a person is told that the desk does not know yet."""
FORGET = timedelta(hours=24)
"""After this a notice to the supervisor, or a further channel of one that is kept, is no use to anybody."""


def duty_id(subject: str, kind: DutyKind, audience: Audience) -> str:
    """Return the id of a duty: the same for the same thing, so that finding it twice owes it once."""
    return f"{subject}-{kind}-{audience}"


def owed(subject: str, kind: DutyKind, audiences: str, since: datetime) -> Iterator[Duty]:
    """Return a notice for each audience."""
    for audience in audiences.split(","):
        who: Audience = audience  # type: ignore[assignment]
        yield Duty(duty_id(subject, kind, who), subject, kind, who, since, since + PROMISE)


def owed_for(fault: Fault) -> Iterator[Duty]:
    """Return what is owed for a fault as it stands."""
    yield from owed(fault.id, "fault", fault.audiences, fault.began_at)
    if fault.recovered_at is not None:
        yield from owed(fault.id, "recovery", fault.audiences, fault.recovered_at)


def overrun(fault: Fault, now: datetime) -> Iterator[Duty]:
    """Return what is owed when planned work lasts longer than was announced."""
    if fault.state == "open" and fault.planned_until is not None and now >= fault.planned_until:
        yield from owed(fault.id, "overrun", fault.audiences, fault.planned_until)


def announcement(maintenance: Maintenance, audiences: str) -> Iterator[Duty]:
    """Return the notices that announce planned work."""
    yield from owed(maintenance.id, "announcement", audiences, maintenance.announced_at)


def alarm(duty: Duty, now: datetime) -> Iterator[Duty]:
    """Return the alarms that are due because the desk has not been told."""
    if duty.audience != "desk" or duty.state not in {"pending", "late"}:
        return
    for kind, after in ALARMS:
        if now - duty.since >= after:
            yield Duty(f"{duty.id}-{kind}", duty.subject, kind, "supervisor", duty.since + after, duty.due_at)
