"""Incidents of the caller's own checks become faults: one for each kind, however many there are (B4).

A thousand calls that nobody asked for are one thing to tell the supervisor, and how many they are. The fault
lasts from the first incident until the last one is closed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from services.common.clock import Clock
from services.common.ids import new_id
from services.escalation.faults.engine import Engine
from services.escalation.faults.parts import INCIDENTS, part
from services.escalation.faults.records import Fault, Finding, Record

_WATCHED: Mapping[str, str] = {
    "recording_missing": "recordings",
}
"""Kinds of incidents that are about a watched part; any other is a part of its own, `incident_<kind>`."""


class Known(Protocol):
    """Where incidents are found again after their fault was forgotten: the journal."""

    async def finding(self, incident_id: str) -> Finding | None:
        """Return one incident."""


class Incidents:
    """Opens and closes the faults. Each event may come several times, and a closing before its opening."""

    def __init__(self, engine: Engine, journal: Known, clock: Clock) -> None:
        self._engine, self._journal, self._clock = engine, journal, clock

    async def opened(self, incident_id: str, kind: str, subject: str, at: datetime) -> None:
        """Count an incident to the fault of its kind, which it opens when there is none."""
        if await self._find(incident_id) is None:
            component = _WATCHED.get(kind, f"incident_{kind}")[:40]
            at = min(at, self._clock.now())
            reason = (
                subject if component not in _WATCHED.values() else f"{INCIDENTS.get(kind, kind)}：{subject}"
            )
            await self._engine.change(self._counted(incident_id, component, reason, at))

    async def closed(self, incident_id: str, at: datetime) -> None:
        """Close an incident, and the fault with the last one of its kind."""
        found = await self._find(incident_id)
        if found is None:
            found = Finding(incident_id, fault="", at=at)
        fault = self._engine.book.faults.get(found.fault)
        at = min(at, self._clock.now())
        lost = "" if fault is None else await self._engine.lost(fault, at)
        await self._engine.change(self._settled(found, at, lost))

    def _counted(self, incident_id: str, component: str, reason: str, at: datetime) -> Iterator[Record]:
        book = self._engine.book
        if incident_id in book.findings:
            return
        fault = book.found(component)
        if fault is None:
            downtime = part(component).downtime
            fault = Fault(
                id=new_id(),
                component=component,
                reason=reason,
                began_at=at,
                detected_at=self._clock.now(),
                source="incident",
                audiences=self._engine.audiences if downtime else "supervisor",
                opened_by="outbound",
                downtime=downtime,
            )
            yield from self._engine.open(fault)
        else:
            first, *_ = fault.reason.split("，共")
            counted, _ = book.tally(fault.id)
            yield replace(fault, reason=f"{first}，共{counted + 1}起")
        yield Finding(incident_id, fault.id, at)

    def _settled(self, finding: Finding, at: datetime, lost: str) -> Iterator[Record]:
        book = self._engine.book
        yield replace(finding, open=False)
        fault = book.faults.get(finding.fault)
        _, still_open = book.tally(finding.fault)
        if fault is not None and still_open == finding.open:
            yield from self._engine.recovered(fault, at, lost)

    async def _find(self, incident_id: str) -> Finding | None:
        known = self._engine.book.findings.get(incident_id)
        return known if known is not None else await self._journal.finding(incident_id)
