"""When the engine would find something due: the product looks every second, the simulation jumps there."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.escalation.faults.book import Book
from services.escalation.faults.duties import ALARMS, FORGET
from services.escalation.faults.policy import ORDER_HOLD
from services.escalation.faults.records import Audience, Duty


def next_moment(
    book: Book, channels: Mapping[Audience, Sequence[str]], now: datetime, hold: timedelta | None
) -> datetime | None:
    """Return when something falls due without anything new being found; None: nothing does.

    `hold`: how long a standby leaves a notice to the other machine; None where there is none.
    """
    moments: list[datetime] = []
    for duty in book.unkept.values():
        moments += _alarms(duty)
        moments += [duty.since + FORGET] if duty.audience != "desk" else []
    for delivery in book.pending.values():
        owed = book.duties.get(delivery.duty)
        if owed is not None and delivery.channel in channels.get(owed.audience, ()):
            moments.append(delivery.next_try_at)
            if not delivery.tries and hold is not None:
                moments.append(delivery.next_try_at + hold)
            if owed.kind == "recovery":
                moments.append(owed.since + ORDER_HOLD)
    moments += [fault.planned_until for fault in book.faults.values() if fault.planned_until]
    return min((moment for moment in moments if moment > now), default=None)


def _alarms(duty: Duty) -> list[datetime]:
    """Return the alarms and the deadline of an unkept duty."""
    moments = [duty.due_at] if duty.state == "pending" else []
    return moments + ([duty.since + after for _, after in ALARMS] if duty.audience == "desk" else [])
