"""The chain's last step: an escalation that the desk does not take is the supervisor's to see to (C3).

It is told as faults are: by every channel of the supervisor, retried, with its proof in the journal, whatever
is down meanwhile. It is no downtime: the desk is the one who does not answer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from services.common.clock import Clock
from services.escalation.faults.engine import Engine
from services.escalation.faults.people import derived
from services.escalation.faults.records import Fault
from services.escalation.models import Escalation

PART: Final = "unanswered"
_WORDS: Final[Mapping[str, str]] = {
    "dispute": "车主有异议",
    "emergency_help": "紧急求助",
    "emergency_lane": "堵塞应急通道",
    "traffic_violation": "交通违法",
    "owner_uncooperative": "车主不配合",
    "authority_questioned": "质疑身份",
    "unreachable": "无法联系车主",
    "vehicle_not_found": "查无车辆",
    "registry_unavailable": "车辆登记信息无法查询",
}


class Known(Protocol):
    """Where a fault is found again after it was forgotten: the journal."""

    async def fault(self, fault_id: str) -> Fault | None:
        """Return one fault."""


class Unanswered:
    """Opens and closes the supervisor's notices: one fault for each escalation, as each needs somebody."""

    def __init__(self, engine: Engine, journal: Known, clock: Clock) -> None:
        self._engine, self._journal, self._clock = engine, journal, clock

    async def tell(self, row: Escalation, at: datetime) -> None:
        """Tell the supervisor of the step taken `at`; the same step again changes nothing."""
        fault_id = derived(f"{PART}:{row.id}:{at.isoformat()}")
        if fault_id in self._engine.book.faults or await self._journal.fault(fault_id) is not None:
            return
        fault = Fault(
            id=fault_id,
            component=PART,
            reason=f"第{row.seq}号（{_WORDS.get(row.reason, row.reason)}）",
            began_at=row.waits_from or row.raised_at,
            detected_at=self._clock.now(),
            source="incident",
            audiences="supervisor",
            opened_by=row.id,
            downtime=False,
        )
        await self._engine.change(self._engine.open(fault))

    async def over(self, escalation_id: str, at: datetime) -> None:
        """Tell that somebody has taken it, or that nobody need; nothing when the supervisor knows of none."""
        waiting = [
            fault
            for fault in self._engine.book.faults.values()
            if (fault.component, fault.opened_by, fault.state) == (PART, escalation_id, "open")
        ]
        for fault in waiting:
            await self._engine.change(self._engine.recovered(fault, at))
