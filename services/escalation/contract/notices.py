"""C4 on the contract board: was the desk told within 30 minutes, and when was that last rehearsed."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.common.evidence import (
    WINDOW,
    Concern,
    Evidence,
    Figure,
    count,
    evidence_of,
    seconds,
    text,
    time,
)
from services.escalation.faults.duties import ALARMS
from services.escalation.faults.journal import Journal, promised
from services.escalation.faults.models import FaultDuty, FaultRow
from services.escalation.faults.pair.joined import joined
from services.escalation.faults.parts import part
from services.escalation.faults.records import UNKEPT, Duty, Fault

DrillResult = Literal["delivered", "late", "failed", "pending"]
_RESULTS: Final = {
    "delivered": "通知均按时送达",
    "late": "通知逾期送达",
    "failed": "通知逾期未送达",
    "pending": "通知尚未全部送达",
}
_FIRST_ALARM: Final = ALARMS[0][1]
_MAIN_SECONDS: Final = 1.5
"""A main database that hangs must not hide what the journal has."""
_FAULTS, _DUTIES = cast(Table, FaultRow.__table__), cast(Table, FaultDuty.__table__)


@dataclass(frozen=True, slots=True)
class Notices:
    """What the desk was owed within the window and what is owed still, each counted once."""

    in_time: int = 0
    late: int = 0
    waiting: int = 0
    overdue: int = 0
    longest: timedelta | None = None
    oldest: timedelta = timedelta(0)
    """Of what waits: for how long."""

    @property
    def owed(self) -> int:
        """All of them."""
        return self.in_time + self.late + self.waiting + self.overdue


@dataclass(frozen=True, slots=True)
class Drill:
    """The last drill: when, of which part, on whose channels, and what became of its notices."""

    at: datetime
    component: str
    real: bool
    result: DrillResult


def counted(duties: Iterable[Duty], now: datetime) -> Notices:
    """Count notices. One that nobody has been given is late from its deadline on, whoever has noted it."""
    in_time = late = waiting = overdue = 0
    longest, oldest = None, timedelta(0)
    for duty in duties:
        if duty.state == "void":
            continue
        ended = now if duty.kept_at is None else duty.kept_at
        took = max(ended - duty.since, timedelta(0))
        longest = took if longest is None else max(longest, took)
        if duty.state in UNKEPT:
            oldest = max(oldest, took)
            overdue, waiting = overdue + (now > duty.due_at), waiting + (now <= duty.due_at)
        elif ended > duty.due_at:
            late += 1
        else:
            in_time += 1
    return Notices(in_time, late, waiting, overdue, longest, oldest)


def result_of(duties: Sequence[Duty], now: datetime) -> DrillResult:
    """Return what became of a drill's notices, of fault and recovery."""
    owed = [duty for duty in duties if duty.kind in {"fault", "recovery"} and duty.state != "void"]
    if any(duty.state in UNKEPT and now > duty.due_at for duty in owed):
        return "failed"
    if not owed or any(duty.state in UNKEPT for duty in owed):
        return "pending"
    return "late" if any(duty.state == "kept_late" for duty in owed) else "delivered"


def judge(notices: Notices, drill: Drill | None, now: datetime, drill_every: timedelta) -> list[Concern]:
    """Return what keeps C4 from being well. A drill that was delivered is evidence where nothing broke."""
    found: list[Concern] = []
    if notices.overdue:
        found.append(("breached", f"{notices.overdue} 条通知已过 30 分钟仍未送达110，请立即人工通知"))
    if notices.late:
        found.append(("breached", f"近 30 天有 {notices.late} 条通知超过 30 分钟才送达110"))
    if notices.oldest >= _FIRST_ALARM and not notices.overdue:
        found.append(
            ("warning", f"有通知已等待 {int(notices.oldest.total_seconds() // 60)} 分钟，尚未送达110")
        )
    match drill:
        case None if notices.owed:
            found.append(("warning", "从未演练过故障通知"))
        case Drill(result="failed" | "late" as result):
            found.append(("warning", f"最近一次演练的{_RESULTS[result]}"))
        case Drill(at=at) if now - at > drill_every:
            found.append(("warning", f"已超过 {drill_every.days} 天没有演练"))
    proved = notices.owed or (drill is not None and drill.result != "pending")
    return found if proved else [*found, ("no_evidence", "近 30 天没有应发的通知，也没有完成的演练")]


class NoticeEvidence:
    """Reads the main database, where the journals of both machines meet, and this machine's own journal.

    The journal alone is not the whole truth where there are two machines, so without the main database the
    clause is not well; what is overdue is shown all the same.
    """

    def __init__(self, journal: Journal, database: Database, clock: Clock, drill_every: timedelta) -> None:
        self._journal, self._database, self._clock = journal, database, clock
        self._drill_every = drill_every

    async def __call__(self) -> Evidence:
        """Gather what there is. Raises what the journal raises."""
        now = self._clock.now()
        since = now - WINDOW
        duties = {duty.id: duty for duty in await self._journal.promises(since)}
        drill = next(iter(await self._journal.faults(1, drill=True)), None)
        rehearsed = (
            {} if drill is None else {duty.id: duty for duty, _ in await self._journal.notices(drill.id)}
        )
        concerns: list[Concern] = []
        try:
            async with asyncio.timeout(_MAIN_SECONDS), self._database.reading() as session:
                _join(duties, await _read(session, Duty, promised(_DUTIES, _FAULTS, since)))
                merged = await _last_drill(session)
                if merged is not None and (drill is None or merged.detected_at >= drill.detected_at):
                    if drill is not None and merged.id != drill.id:
                        rehearsed = {}
                    drill = merged
                    _join(rehearsed, await _read(session, Duty, _duties_of(merged.id)))
        except Exception as error:
            if not is_outage(error):
                raise
            concerns.append(("warning", "主数据库无应答：以下只是本机的记录"))
        notices = counted(duties.values(), now)
        last = None if drill is None else _told(drill, list(rehearsed.values()), now)
        concerns += judge(notices, last, now, self._drill_every)
        return evidence_of(concerns, _figures(notices, last), now)


def _told(drill: Fault, duties: Sequence[Duty], now: datetime) -> Drill:
    real = drill.audiences != "drill"
    return Drill(drill.detected_at, drill.component, real, result_of(duties, now))


def _figures(notices: Notices, drill: Drill | None) -> list[Figure]:
    figures = [
        count("owed", "近30天应通知110", notices.owed),
        count("in_time", "30分钟内送达", notices.in_time),
        count("late", "逾期送达", notices.late),
        count("waiting", "待送达", notices.waiting),
        count("overdue", "逾期未送达", notices.overdue),
        seconds("longest_seconds", "最长用时", notices.longest),
        time("drill_at", "最近一次演练", None if drill is None else drill.at),
    ]
    if drill is not None:
        shown = part(drill.component).title + ("（真实通道）" if drill.real else "（演练通道）")
        figures += [
            text("drill_component", "演练部件", shown),
            text("drill_result", "演练结果", _RESULTS[drill.result]),
        ]
    return figures


def _join(known: dict[str, Duty], more: Iterable[Duty]) -> None:
    for duty in more:
        known[duty.id] = joined(known[duty.id], duty) if duty.id in known else duty


def _duties_of(fault_id: str) -> Any:
    return select(_DUTIES).where(_DUTIES.c.subject == fault_id)


async def _last_drill(session: AsyncSession) -> Fault | None:
    newest = (
        select(_FAULTS).where(_FAULTS.c.drill).order_by(_FAULTS.c.detected_at.desc(), _FAULTS.c.id.desc())
    )
    return next(iter(await _read(session, Fault, newest.limit(1))), None)


async def _read(session: AsyncSession, kind: type[Any], statement: Any) -> list[Any]:
    names = [field.name for field in fields(kind)]
    return [kind(**{name: getattr(row, name) for name in names}) for row in await session.execute(statement)]
