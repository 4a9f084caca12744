"""What time alone brings about, without anything new being found: pure functions of what is known (C4)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from services.escalation.faults import machine
from services.escalation.faults.book import Book
from services.escalation.faults.duties import ALARMS, FORGET, PROMISE, alarm, overrun
from services.escalation.faults.metrics import DUTIES_LATE
from services.escalation.faults.records import UNKEPT, Audience, Delivery, Duty, Record

log = structlog.get_logger(__name__)

Channels = Mapping[Audience, Sequence[str]]
"""The names of the channels of each audience."""


def risen(book: Book, channels: Channels, now: datetime) -> Iterator[Record]:
    """Yield deadlines that have passed, alarms, overruns, and deliveries to make."""
    new: list[Duty] = []
    for fault in book.faults.values():
        new += (duty for duty in overrun(fault, now) if duty.id not in book.duties)
    for duty in book.unkept.values():
        new += (found for found in alarm(duty, now) if found.id not in book.duties)
        if duty.audience != "desk" and now - duty.since >= FORGET:
            yield replace(duty, state=machine.follow(machine.DUTIES, duty.state, "void"))
        elif duty.state == "pending" and now > duty.due_at:
            if duty.audience == "desk":
                DUTIES_LATE.inc()
                log.error("notice_late", subject=duty.subject, kind=duty.kind)
            yield replace(duty, state=machine.follow(machine.DUTIES, duty.state, "lapse"))
    for duty in new:
        log.error("notice_alarm", subject=duty.subject, kind=duty.kind)
        yield duty
    for duty in [*book.unkept.values(), *new]:
        made = {delivery.channel for delivery in book.of_duty(duty.id)}
        for channel in channels.get(duty.audience, ()):
            if channel not in made:
                yield Delivery(f"{duty.id}-{channel}", duty.id, channel, next_try_at=now)


def silenced(book: Book, duty: Duty) -> Iterator[Duty]:
    """Yield the alarms of a duty that is kept, as void."""
    for kind, _ in ALARMS:
        raised = book.duties.get(f"{duty.id}-{kind}")
        if raised is not None and raised.state in UNKEPT:
            yield replace(raised, state=machine.follow(machine.DUTIES, raised.state, "void"))


def released(book: Book, now: datetime) -> Iterator[Record]:
    """Yield what was under way when the process stopped, due at once; no deadline counts from after now."""
    for delivery in book.deliveries.values():
        if delivery.state == "pending" and delivery.next_try_at != now:
            yield replace(delivery, next_try_at=now)
    for duty in book.duties.values():
        if duty.state in UNKEPT and duty.since > now:  # the clock was put back while we were down
            yield replace(duty, since=now, due_at=now + PROMISE)
    for component in book.components.values():
        if component.good_at > now:
            yield replace(component, good_at=now, bad_at=None, good_since=None)


def shifted(book: Book, step: timedelta) -> Iterator[Record]:
    """Yield what is measured by the wall clock, moved along with one that somebody set."""
    for duty in book.duties.values():
        if duty.state in UNKEPT:
            yield replace(duty, since=duty.since + step, due_at=duty.due_at + step)
    for delivery in book.deliveries.values():
        if delivery.state == "pending":
            yield replace(delivery, next_try_at=delivery.next_try_at + step)
    for fault in book.faults.values():
        if fault.state == "open":
            yield replace(fault, began_at=fault.began_at + step, detected_at=fault.detected_at + step)
    for component in book.components.values():
        yield replace(
            component,
            good_at=component.good_at + step,
            bad_at=component.bad_at and component.bad_at + step,
            good_since=component.good_since and component.good_since + step,
            recovered_at=component.recovered_at and component.recovered_at + step,
        )
