"""What the other machine tells, put beside what is known here: what is new, and what that one lacks (C4).

It decides what is to be kept and changes nothing: the engine writes it, as it writes what it found itself.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from services.escalation.faults.book import Book
from services.escalation.faults.detection.judge import calmed
from services.escalation.faults.duties import owed_for
from services.escalation.faults.metrics import NOTICES_TWICE
from services.escalation.faults.pair.joined import Shared, joined
from services.escalation.faults.records import Delivery, Duty, Fault, Finding, Record

log = structlog.get_logger(__name__)

Key = tuple[type[Record], str]
LookUp = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Any]]]
"""Return records as they stand here, settled ones too."""


async def taken(book: Book, told: Sequence[Shared], look_up: LookUp) -> tuple[list[Record], list[Shared]]:
    """Return what is to be kept of what was told, and what the other machine lacks of the same things."""
    known = await look_up([(type(record), record.id) for record in told])
    news: list[Record] = []
    answers: list[Shared] = []
    for record in told:
        mine = known.get((type(record), record.id))
        whole = record if mine is None else joined(mine, record)
        if whole != mine:
            news += [whole, *_as_told(book, mine, whole)]
            _count_doubles(mine, whole)
        if whole != record:
            answers.append(whole)
    return [*news, *await _owed_too(news, look_up)], answers


def all_over(book: Book, news: Iterable[Record]) -> Iterator[Fault]:
    """Yield incidents' faults that are over: one machine heard of the opening, the other of the closing."""
    for record in news:
        if isinstance(record, Finding) and not record.open:
            fault = book.faults.get(record.fault)
            if fault is not None and fault.state == "open" and not book.tally(fault.id)[1]:
                yield fault


def unsettled(book: Book) -> list[Shared]:
    """Return what a machine must be told that knows nothing: what is not settled, and what was proved."""
    proved = [one for one in book.deliveries.values() if one.state == "delivered"]
    return [
        *book.maintenance.values(),
        *book.faults.values(),
        *book.duties.values(),
        *proved,
        *book.findings.values(),
    ]


async def _owed_too(news: Sequence[Record], look_up: LookUp) -> list[Duty]:
    """Return what is owed for faults told of: the other machine may not live to tell of that as well."""
    owed = {duty.id: duty for fault in news if isinstance(fault, Fault) for duty in owed_for(fault)}
    for record in news:
        if isinstance(record, Duty):
            owed.pop(record.id, None)
    known = await look_up([(Duty, found) for found in owed])
    return [duty for duty in owed.values() if (Duty, duty.id) not in known]


def _as_told(book: Book, mine: Shared | None, whole: Shared) -> list[Record]:
    """Return a part as the other machine knows it: how often it flapped, and when it was good again."""
    if not isinstance(whole, Fault) or whole.source != "probe":
        return []
    known = book.components.get(whole.component)
    if known is None or not book.ours(whole) or (isinstance(mine, Fault) and mine.recovered_at):
        return []
    ended = whole.recovered_at
    if ended is None:
        # Else this machine would take it for recovered sooner than flap damping allows, or much later.
        anew = mine is None and book.probed(whole.component) is None and calmed(known, whole.began_at)
        flaps = whole.flaps if anew else max(known.flaps, whole.flaps)
        return [replace(known, flaps=flaps, bad_at=whole.detected_at)]
    return [replace(known, good_at=max(known.good_at, ended), good_since=None, recovered_at=ended)]


def _count_doubles(mine: Shared | None, whole: Shared) -> None:
    """Count a notice that both machines gave."""
    if isinstance(whole, Delivery) and isinstance(mine, Delivery) and whole.copies > mine.copies:
        NOTICES_TWICE.labels(whole.channel).inc()
        log.warning("notice_given_twice", duty=whole.duty, channel=whole.channel)
