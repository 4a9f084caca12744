"""The chain's last step: an escalation that the desk does not take is the supervisor's to see to (C3).

It is told as faults are: by every channel of the supervisor, retried, with its proof in the journal, whatever
is down meanwhile. It is no downtime: the desk is the one who does not answer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from services.common.clock import Clock
from services.escalation.chain.policy import Policy
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
    """Opens and closes the supervisor's notices: one fault for each escalation, as each needs somebody.

    Of two machines either may hear of the step, and either of its end, before they have told each other. So
    the fault follows from the escalation alone: its id, and all of it.
    """

    def __init__(self, engine: Engine, journal: Known, clock: Clock) -> None:
        self._engine, self._journal, self._clock = engine, journal, clock

    async def tell(self, row: Escalation, at: datetime) -> None:
        """Tell the supervisor of the step taken `at`; the same step again changes nothing."""
        if row.status == "raised" and _is_told(row) and _waits_from(row) <= at:
            fault = self._fault(row)
            if await self._known(fault.id) is None:
                await self._engine.change(self._engine.open(fault))

    async def over(self, row: Escalation, at: datetime) -> None:
        """Tell that somebody has taken it, or that nobody need; nothing before it came to the supervisor."""
        over = {fault.id: fault for fault in self._engine.book.faults.values() if fault.opened_by == row.id}
        if _is_told(row):
            fault = self._fault(row)
            over[fault.id] = await self._known(fault.id) or fault
        for fault in over.values():
            if fault.state == "open" and fault.began_at <= at:  # not one that waits anew since
                await self._engine.change(self._engine.recovered(fault, at))

    def _fault(self, row: Escalation) -> Fault:
        return Fault(
            id=derived(f"{PART}:{row.id}:{_waits_from(row).isoformat()}"),
            component=PART,
            reason=f"第{row.seq}号（{_WORDS.get(row.reason, row.reason)}）",
            began_at=_waits_from(row),
            detected_at=self._clock.now(),
            source="incident",
            audiences="supervisor",
            opened_by=row.id,
            downtime=False,
        )

    async def _known(self, fault_id: str) -> Fault | None:
        return self._engine.book.faults.get(fault_id) or await self._journal.fault(fault_id)


def _waits_from(row: Escalation) -> datetime:
    return row.waits_from or row.raised_at


def _is_told(row: Escalation) -> bool:
    """Whether the supervisor's step was taken since the escalation waits."""
    if row.policy is None:
        return False
    policy = Policy.model_validate(row.policy)
    return any(stage.step == "supervisor" for stage in policy.stages[: row.steps_taken])
