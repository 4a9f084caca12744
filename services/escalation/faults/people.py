"""What people do about faults: open one, say that it is over, record a notice, announce work, rehearse."""

import hashlib
from collections.abc import Iterator
from datetime import datetime

from services.common.clock import Clock
from services.common.ids import new_id
from services.escalation.faults.duties import announcement, duty_id
from services.escalation.faults.engine import Engine
from services.escalation.faults.journal import Journal
from services.escalation.faults.parts import part
from services.escalation.faults.records import (
    Audience,
    Delivery,
    Duty,
    DutyKind,
    Fault,
    Maintenance,
    Record,
)

DRILL_REASON = "演练，无需处置"


class UnknownFault(LookupError):
    """There is no fault with this id."""


class NoDrillChannel(Exception):
    """A drill would be told to nobody: no channel for drills is set."""


class People:
    """Changes that do not come from probes; idempotent where an id can be derived from what is given."""

    def __init__(self, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._engine, self._journal, self._clock = engine, journal, clock

    async def open(
        self,
        component: str,
        reason: str,
        *,
        by: str,
        began_at: datetime | None = None,
        key: str = "",
    ) -> tuple[Fault, bool]:
        """Open a fault; return it and whether it is new. The same `key` again finds the first one."""
        fault_id = derived(f"person:{by}:{key}") if key else new_id()
        if key and (found := await self.find(fault_id)) is not None:
            return found, False
        now = self._clock.now()
        downtime = part(component).downtime
        fault = Fault(
            id=fault_id,
            component=component,
            reason=reason,
            began_at=began_at or now,
            detected_at=now,
            source="person",
            audiences=self._engine.audiences if downtime else "supervisor",
            opened_by=by,
            downtime=downtime,
        )
        await self._engine.change(self._engine.open(fault))
        return self._engine.book.faults.get(fault_id, fault), True

    async def recover(self, fault_id: str, at: datetime | None = None) -> Fault:
        """Say that a fault is over; a repeat changes nothing. Raises UnknownFault."""
        fault = await self._get(fault_id)
        ended = at or self._clock.now()
        lost = await self._engine.lost(fault, ended)
        await self._engine.change(self._engine.recovered(fault, ended, lost))
        return await self._get(fault_id)

    async def give(self, fault_id: str, channel: str, note: str, by: str) -> None:
        """Record a notice given by a person: of the fault, and of its recovery once it is over.

        Raises UnknownFault.
        """
        fault = await self._get(fault_id)
        kinds: tuple[DutyKind, ...] = ("fault",) if fault.state == "open" else ("fault", "recovery")
        await self._engine.change(self._given(fault, kinds, channel, note, by))

    def _given(
        self, fault: Fault, kinds: tuple[DutyKind, ...], channel: str, note: str, by: str
    ) -> Iterator[Record]:
        now = self._clock.now()
        audience: Audience = fault.audiences.split(",")[0]  # type: ignore[assignment]
        for kind in kinds:
            duty = duty_id(fault.id, kind, audience)
            known = self._engine.book.duties.get(duty)
            if kind == "fault" and len(kinds) > 1 and (known is None or known.kept_at is not None):
                continue  # of the fault they know already: this was about the recovery
            delivery = Delivery(f"{duty}-{channel}-{new_id()}", duty, channel, now, tries=1)
            yield from self._engine.proved(delivery, now, note, by)

    async def announce(
        self, component: str, begins_at: datetime, ends_at: datetime, note: str, by: str
    ) -> Maintenance:
        """Announce planned work to whom its part concerns."""
        planned = Maintenance(new_id(), component, begins_at, ends_at, note, by, self._clock.now())
        audiences = self._engine.audiences if part(component).downtime else "supervisor"
        await self._engine.change([planned, *announcement(planned, audiences)])
        return planned

    async def rehearse(self, component: str, by: str, *, real: bool) -> Fault:
        """Open a fault that is marked as a drill everywhere. Raises NoDrillChannel."""
        if not real and not self._engine.reaches("drill"):
            raise NoDrillChannel
        now = self._clock.now()
        drill = Fault(
            id=new_id(),
            component=component,
            reason=DRILL_REASON,
            began_at=now,
            detected_at=now,
            source="person",
            audiences=self._engine.audiences if real else "drill",
            opened_by=by,
            downtime=False,
            drill=True,
        )
        await self._engine.change(self._engine.open(drill))
        return drill

    async def find(self, fault_id: str) -> Fault | None:
        """Return a fault as it stands."""
        known = self._engine.book.faults.get(fault_id)
        return known if known is not None else await self._journal.fault(fault_id)

    async def notices(self, fault_id: str) -> list[tuple[Duty, list[Delivery]]]:
        """Return what is owed about a fault. Raises UnknownFault."""
        await self._get(fault_id)
        book = self._engine.book
        known = [duty for duty in book.duties.values() if duty.subject == fault_id]
        if known:
            return [(duty, list(book.of_duty(duty.id))) for duty in known]
        return await self._journal.notices(fault_id)

    async def _get(self, fault_id: str) -> Fault:
        found = await self.find(fault_id)
        if found is None:
            raise UnknownFault(fault_id)
        return found


def derived(text: str) -> str:
    """Return an id made from what is known: the same thing twice gets the same one."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
