"""The switch's records put together as calls: one call is one channel. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from services.outbound.evidence.line import CallRecord

_GAP: Final = timedelta(seconds=1)
"""A channel's next record begins where the last one ended; later than this it is another channel, of a
switch that was started anew and counts from zero again."""
_DESK: Final = "desk"
_SEAT: Final = "seat-"


@dataclass(frozen=True, slots=True)
class SwitchCall:
    """What the switch says about one channel, from all its records, oldest first."""

    node: str
    records: tuple[CallRecord, ...]

    @property
    def unique_id(self) -> str:
        return self.records[0].unique_id

    @property
    def attempt_id(self) -> str | None:
        """The attempt that the channel belongs to or claims to."""
        return next((record.attempt_id for record in self.records if record.attempt_id), None)

    @property
    def endpoint(self) -> str:
        return self.records[0].endpoint

    @property
    def to_an_owner(self) -> bool:
        """Whether it can have rung a phone of an owner.

        A seat's endpoint and the desk's lead to that seat and that line alone, whatever is dialled on them.
        """
        return not (self.endpoint == _DESK or self.endpoint.startswith(_SEAT))

    @property
    def started_at(self) -> datetime:
        return self.records[0].started_at

    @property
    def answered_at(self) -> datetime | None:
        return min((record.answered_at for record in self.records if record.answered_at), default=None)

    @property
    def ended_at(self) -> datetime:
        return max(record.ended_at for record in self.records)

    @property
    def billed(self) -> float:
        """Seconds from the answer to the end; the switch's own figure where one record says it."""
        if len(self.records) == 1:
            return self.records[0].billed
        return (self.ended_at - self.answered_at).total_seconds() if self.answered_at else 0.0

    @property
    def contradicts_itself(self) -> bool:
        """Whether its own figures cannot all be true, or one record says two things."""
        numbers = {(record.sequence, record.started_at) for record in self.records}
        if len(numbers) < len(self.records):
            return True
        return any(abs(_seconds(record) - record.billed) > 1.0 for record in self.records)


def calls_of(records: Iterable[tuple[str, CallRecord]]) -> list[SwitchCall]:
    """Put the records of all nodes, each with its node's name, together as calls, in the order they began."""
    ordered = sorted(records, key=lambda item: (_channel(item), item[1].started_at, item[1].sequence))
    calls: list[SwitchCall] = []
    for (node, _, _), share in groupby(ordered, key=_channel):
        calls += [SwitchCall(node, tuple(part)) for part in _runs([record for _, record in share])]
    return sorted(calls, key=lambda call: (call.started_at, call.unique_id))


def _channel(item: tuple[str, CallRecord]) -> tuple[str, str, str]:
    node, record = item
    return node, record.unique_id, record.channel


def _runs(records: Sequence[CallRecord]) -> list[list[CallRecord]]:
    runs: list[list[CallRecord]] = []
    for record in records:
        if runs and record.started_at - max(each.ended_at for each in runs[-1]) <= _GAP:
            runs[-1].append(record)
        else:
            runs.append([record])
    return runs


def _seconds(record: CallRecord) -> float:
    return (record.ended_at - record.answered_at).total_seconds() if record.answered_at else 0.0
