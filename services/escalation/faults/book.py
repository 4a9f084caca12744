"""What of the journal is kept in mind: everything that is not settled. Pure data, no decisions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from services.escalation.faults.parts import part
from services.escalation.faults.records import (
    UNKEPT,
    Beat,
    Component,
    Delivery,
    Duty,
    Fault,
    Finding,
    Maintenance,
    Record,
)

OWN_BEAT = "own"
KEEP_MAINTENANCE = timedelta(days=1)

_Kept = TypeVar("_Kept", Duty, Delivery)


def _not_held(_: Duty, __: Delivery, ___: datetime) -> bool:
    return False


class Book:
    """Records by kind and id. `held` tells whether a standby leaves a notice to the active machine."""

    def __init__(self, machine: str = "") -> None:
        self._machine = machine
        self.components: dict[str, Component] = {}
        self.faults: dict[str, Fault] = {}
        self.duties: dict[str, Duty] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.unkept: dict[str, Duty] = {}
        """The duties that nobody has been told of yet: what time brings about is looked for here alone."""
        self.pending: dict[str, Delivery] = {}
        """The deliveries that are neither proved nor excused."""
        self.findings: dict[str, Finding] = {}
        self.maintenance: dict[str, Maintenance] = {}
        self.beat: Beat | None = None
        self.held: Callable[[Duty, Delivery, datetime], bool] = _not_held
        self._probed: dict[str, str] = {}
        self._tally: dict[str, tuple[int, int]] = {}
        self._by_duty: dict[str, list[str]] = {}

    def apply(self, records: Iterable[Record]) -> None:
        """Take over the new state of records."""
        for record in records:
            match record:
                case Component():
                    self.components[record.id] = record
                case Fault():
                    self.faults[record.id] = record
                    if record.source == "probe" and self.ours(record):
                        if record.state == "open":
                            self._probed[record.component] = record.id
                        elif self._probed.get(record.component) == record.id:
                            del self._probed[record.component]
                case Duty():
                    self.duties[record.id] = record
                    _keep(self.unkept, record, record.state in UNKEPT)
                case Delivery():
                    if record.id not in self.deliveries:
                        self._by_duty.setdefault(record.duty, []).append(record.id)
                    self.deliveries[record.id] = record
                    _keep(self.pending, record, record.state == "pending")
                case Finding():
                    self._count(record)
                case Maintenance():
                    self.maintenance[record.id] = record
                case Beat():
                    self.beat = record

    def _count(self, record: Finding) -> None:
        known = self.findings.get(record.id)
        if known is not None and known.fault != record.fault:
            known = None  # what this machine could not place, the other one could
        counted, still_open = self.tally(record.fault)
        self._tally[record.fault] = (
            counted + (known is None),
            still_open + record.open - (known is not None and known.open),
        )
        self.findings[record.id] = record

    def probed(self, component: str) -> Fault | None:
        """Return the open fault that probes found in a part."""
        found = self._probed.get(component)
        return None if found is None else self.faults[found]

    def tally(self, fault_id: str) -> tuple[int, int]:
        """Return how many incidents are counted to a fault, and how many of them are open."""
        return self._tally.get(fault_id, (0, 0))

    def found(self, component: str) -> Fault | None:
        """Return the open fault that incidents of a part are counted to."""
        return next(
            (
                fault
                for fault in self.faults.values()
                if fault.component == component and fault.source == "incident" and fault.state == "open"
            ),
            None,
        )

    def ours(self, fault: Fault) -> bool:
        """Whether this machine says when a fault is over: not of the other one's own disk or clock."""
        return fault.machine in {"", self._machine} or not part(fault.component).local

    def shared(self, kind: type[Record], record_id: str) -> Record | None:
        """Return a record that both machines of a pair have."""
        records: Mapping[type[Record], Mapping[str, Record]] = {
            Fault: self.faults,
            Duty: self.duties,
            Delivery: self.deliveries,
            Finding: self.findings,
            Maintenance: self.maintenance,
        }
        return records[kind].get(record_id)

    def subject(self, duty: Duty) -> Fault | Maintenance | None:
        """Return what a duty is about; None while the other machine has told of the duty alone."""
        return self.faults.get(duty.subject) or self.maintenance.get(duty.subject)

    def of_duty(self, duty_id: str) -> Iterator[Delivery]:
        """Return the deliveries of a duty."""
        return (self.deliveries[found] for found in self._by_duty.get(duty_id, ()))

    def window(self, component: str, moment: datetime) -> Maintenance | None:
        """Return the planned work on a part that a moment falls into."""
        return next(
            (
                planned
                for planned in self.maintenance.values()
                if planned.component == component and planned.begins_at <= moment < planned.ends_at
            ),
            None,
        )

    def forget(self, now: datetime) -> None:
        """Drop what is settled; it stays in the journal."""
        open_subjects = {duty.subject for duty in self.unkept.values()}
        unproved = (self.duties.get(delivery.duty) for delivery in self.pending.values())
        open_subjects |= {duty.subject for duty in unproved if duty is not None}
        for fault in [fault for fault in self.faults.values() if fault.state == "recovered"]:
            if fault.id not in open_subjects:
                del self.faults[fault.id]
        for finding in [one for one in self.findings.values() if one.fault not in self.faults]:
            del self.findings[finding.id]
            self._tally.pop(finding.fault, None)
        for planned in list(self.maintenance.values()):
            if planned.id not in open_subjects and now - planned.ends_at > KEEP_MAINTENANCE:
                del self.maintenance[planned.id]
        for duty in list(self.duties.values()):
            if duty.subject not in self.faults and duty.subject not in open_subjects:
                for delivery_id in self._by_duty.pop(duty.id, ()):
                    del self.deliveries[delivery_id]
                del self.duties[duty.id]


def _keep(index: dict[str, _Kept], record: _Kept, wanted: bool) -> None:
    if wanted:
        index[record.id] = record
    else:
        index.pop(record.id, None)
