"""C3 on the contract board: does every open escalation insist as its frozen policy promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute

from services.common.clock import Clock
from services.common.database import Database
from services.common.evidence import WINDOW, Concern, Evidence, count, evidence_of, seconds, time
from services.escalation.chain.auditor import GRACE, Auditor
from services.escalation.machine import OPEN
from services.escalation.models import Escalation, EscalationStep


@dataclass(frozen=True, slots=True)
class Chains:
    """Escalations within the window, those that are open, and what the auditor makes of them.

    `longest` is for how long the oldest unacknowledged one waits. `late` steps were taken after their time.
    """

    raised: int
    waiting: int
    in_hand: int
    longest: timedelta | None
    steps: int
    late: int
    violations: int
    audited_at: datetime
    stale: bool


def judge(chains: Chains) -> list[Concern]:
    """Return what keeps C3 from being well."""
    found: list[Concern] = []
    if chains.violations:
        found.append(("breached", f"{chains.violations} 件移交110的事件没有按规则催办，请立即电话通知接警台"))
    if chains.stale:
        found.append(("no_evidence", "核查程序已停止核查，未结事件是否按规则催办无法证明"))
    if chains.late:
        found.append(("warning", f"近 30 天有 {chains.late} 次催办晚于规定时间"))
    if not chains.raised and not chains.waiting and not chains.in_hand:
        found.append(("no_evidence", "近 30 天没有移交110的事件"))
    return found


class ChainEvidence:
    """Reads escalations and their steps, and asks the auditor of this process."""

    def __init__(self, database: Database, auditor: Auditor, clock: Clock) -> None:
        self._database, self._auditor, self._clock = database, auditor, clock

    async def __call__(self) -> Evidence:
        """Gather what there is. Raises what the database raises."""
        now = self._clock.now()
        chains = await self._read(now)
        figures = [
            count("raised", "近30天移交110", chains.raised),
            count("waiting", "未签收", chains.waiting),
            count("in_hand", "已签收未处置", chains.in_hand),
            seconds("longest_seconds", "未签收最久", chains.longest),
            count("steps", "近30天催办", chains.steps),
            count("late", "其中延误", chains.late),
            count("violations", "核查不合格", chains.violations),
            time("audited_at", "最近一次核查", chains.audited_at),
        ]
        return evidence_of(judge(chains), figures, now)

    async def _read(self, now: datetime) -> Chains:
        since = now - WINDOW
        late_by = _seconds_between(self._database.dialect, EscalationStep.due_at, EscalationStep.taken_at)
        async with self._database.reading() as session:
            raised = await session.scalar(
                select(func.count()).select_from(Escalation).where(Escalation.raised_at >= since)
            )
            open_ = await session.execute(
                select(Escalation.status, func.count(), func.min(Escalation.waits_from))
                .where(Escalation.status.in_(sorted(OPEN)))
                .group_by(Escalation.status)
            )
            by_status: Mapping[str, tuple[int, datetime | None]] = {
                status: (number, first) for status, number, first in open_
            }
            steps, late = (
                await session.execute(
                    select(func.count(), func.count(case((late_by > GRACE.total_seconds(), 1)))).where(
                        EscalationStep.taken_at >= since
                    )
                )
            ).one()
        waiting, first = by_status.get("raised", (0, None))
        return Chains(
            raised=raised or 0,
            waiting=waiting,
            in_hand=by_status.get("acknowledged", (0, None))[0],
            longest=None if first is None else max(now - first, timedelta(0)),
            steps=steps,
            late=late,
            violations=self._auditor.violations,
            audited_at=self._auditor.looked_at,
            stale=self._auditor.stale,
        )


def _seconds_between(
    dialect: str, earlier: InstrumentedAttribute[datetime], later: InstrumentedAttribute[datetime]
) -> ColumnElement[Any]:
    """Subtract in the database: a month of steps is too much to read for one figure."""
    if dialect == "sqlite":
        return (func.julianday(later) - func.julianday(earlier)) * 86_400.0
    return func.extract("epoch", later - earlier)
