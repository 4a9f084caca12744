"""Who gets which events, read off the event classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, exists

from services.common.bus.contract import Entry
from services.common.events import ALL
from services.common.models import HandledEvent, OutboxEntry

CONSUMERS = sorted({name for event in ALL.values() for name in event.CONSUMERS})


def types_for(consumer: str) -> list[str]:
    """Return the types of events a consumer gets."""
    return [event.TYPE for event in ALL.values() if consumer in event.CONSUMERS]


def routed(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the entries each consumer gets, in their order."""
    by_consumer: dict[str, list[Entry]] = {}
    for entry in entries:
        for consumer in consumers_of(entry.type):
            by_consumer.setdefault(consumer, []).append(entry)
    return by_consumer


def consumers_of(event_type: str) -> Sequence[str]:
    """Return who gets events of a type (nobody, for a type of another version)."""
    return ALL[event_type].CONSUMERS if event_type in ALL else ()


def is_urgent(event_type: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether somebody waits for what follows from an event (nobody, for a type of another version)."""
    return event_type in ALL and ALL[event_type].is_urgent(payload)


def unhandled_by(consumer: str) -> ColumnElement[bool]:
    """Return the condition that an outbox row is this consumer's and was not handled by it."""
    return and_(
        OutboxEntry.type.in_(types_for(consumer)),
        ~exists().where(HandledEvent.consumer == consumer, HandledEvent.event_id == OutboxEntry.event_id),
    )
