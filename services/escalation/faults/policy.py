"""Whether a notice goes out now: suppress, dedup, deliver, record, as a list one can read (C4).

Each stage is a pure function that returns a reason to wait or None; the first reason counts. What passes all
of them is delivered by its channel, and the answer is recorded by `Engine.settle`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from services.escalation.faults.book import Book
from services.escalation.faults.duties import FORGET
from services.escalation.faults.records import UNKEPT, Delivery, Duty

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
LEASE = timedelta(seconds=40)
"""How long a try may take; after it the notice is tried again, because a duplicate beats silence."""
ORDER_HOLD = timedelta(minutes=5)
"""How long a recovery waits for its fault's notice on the same channel: order must not cost the deadline."""
PHONE = "phone"
"""Name of the channel that rings at the desk."""

Reason = Literal[
    "settled",
    "void",
    "superseded",
    "forgotten",
    "told_in_time",
    "peer_delivers",
    "fault_first",
    "not_due",
]
FINAL: frozenset[Reason] = frozenset({"void", "superseded", "forgotten", "told_in_time"})
"""Reasons after which a delivery is never tried again."""

Stage = Callable[[Book, Duty, Delivery, datetime], Reason | None]


def settled(_: Book, __: Duty, delivery: Delivery, ___: datetime) -> Reason | None:
    """Dedup: this channel has its proof, or is excused."""
    return "settled" if delivery.state != "pending" else None


def void(_: Book, duty: Duty, __: Delivery, ___: datetime) -> Reason | None:
    """Suppress: nobody is owed this any more, e.g. an alarm whose notice was delivered."""
    return "void" if duty.state == "void" else None


def superseded(book: Book, duty: Duty, _: Delivery, __: datetime) -> Reason | None:
    """Suppress: the audience knows of the fault by another channel, and of its end there is a notice too."""
    if duty.kind != "fault" or duty.state in UNKEPT:
        return None
    fault = book.faults.get(duty.subject)
    return "superseded" if fault is not None and fault.state == "recovered" else None


def forgotten(_: Book, duty: Duty, __: Delivery, now: datetime) -> Reason | None:
    """Suppress: a day later it is no news. Never what the desk has not been told by any channel."""
    if duty.audience == "desk" and duty.state in UNKEPT:
        return None
    return "forgotten" if now - duty.since >= FORGET else None


def peer_delivers(book: Book, duty: Duty, delivery: Delivery, now: datetime) -> Reason | None:
    """Suppress: this is the standby and the active machine is at it; see `pair`."""
    return "peer_delivers" if book.held(duty, delivery, now) else None


def told_in_time(_: Book, duty: Duty, delivery: Delivery, now: datetime) -> Reason | None:
    """Suppress: the telephone does not go on ringing once the time is up and the desk knows."""
    done = delivery.channel == PHONE and duty.state not in UNKEPT and now >= duty.due_at
    return "told_in_time" if done else None


def fault_first(book: Book, duty: Duty, delivery: Delivery, now: datetime) -> Reason | None:
    """Suppress: a recovery follows the notice of its fault on each channel."""
    if duty.kind != "recovery" or now - duty.since >= ORDER_HOLD:
        return None
    before = book.deliveries.get(f"{duty.subject}-fault-{duty.audience}-{delivery.channel}")
    return "fault_first" if before is not None and before.state == "pending" else None


def not_due(_: Book, __: Duty, delivery: Delivery, now: datetime) -> Reason | None:
    """Suppress: tried a moment ago. A try that lies further ahead than any pause is from a clock put back."""
    return "not_due" if now < delivery.next_try_at <= now + LEASE else None


STAGES: tuple[Stage, ...] = (
    settled,
    void,
    superseded,
    forgotten,
    told_in_time,
    peer_delivers,
    fault_first,
    not_due,
)


def verdict(book: Book, duty: Duty, delivery: Delivery, now: datetime) -> Reason | None:
    """Return why this notice does not go out now; None when it does."""
    for stage in STAGES:
        reason = stage(book, duty, delivery, now)
        if reason is not None:
            return reason
    return None


def pause(tries: int) -> timedelta:
    """Return how long to wait after the try of this number: 1 s doubling to 30 s, for ever."""
    return min(FIRST_PAUSE * (1 << min(max(tries - 1, 0), 10)), LONGEST_PAUSE)
