"""B4 and B8 on the contract board: are there calls that no case asked for, and is every call recorded."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database
from services.common.evidence import WINDOW, Concern, Evidence, count, evidence_of, time
from services.outbound.evidence.models import BillableCall, CallRecordSource, StoredCallRecord
from services.outbound.models import Incident

UNCALLED: Final = frozenset({"call_without_attempt", "attempt_without_case"})
"""Kinds of incidents that are a breach of B4 as long as nobody has explained them."""
DOUBTFUL: Final = frozenset(
    {
        "attempt_without_call_record",
        "call_record_unreadable",
        "call_records_lost",
        "called_twice",
        "called_undialled",
        "disposition_differs",
        "duration_differs",
        "unknown_call",
    }
)
"""Kinds for which the two stories of a call differ."""
UNREADABLE: Final = frozenset({"call_records_unavailable"})
UNRECORDED: Final = frozenset({"answered_without_recording", "recording_missing"})
"""Kinds that are a breach of B8 as long as they are open."""
FLAWED: Final = frozenset({"recording_damaged", "recording_foreign", "recordings_stalled"})
OLDEST_READ: Final = timedelta(minutes=10)
"""When the switch's call records were last read longer ago than this, they prove nothing of today."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the evidence of the window shows; `open_` counts open incidents by kind.

    `read_at` is when the records of the switch that was read longest ago were read; None: never.
    """

    records: int = 0
    agreed: int = 0
    answered: int = 0
    recorded: int = 0
    read_at: datetime | None = None
    open_: Mapping[str, int] = field(default_factory=dict)

    def of(self, kinds: frozenset[str]) -> int:
        """How many incidents of these kinds are open."""
        return sum(number for kind, number in self.open_.items() if kind in kinds)


def judge_calls(found: Found, now: datetime) -> list[Concern]:
    """Return what keeps B4 from being well."""
    concerns: list[Concern] = []
    if number := found.of(UNCALLED):
        concerns.append(("breached", f"{number} 起呼叫没有对应的案件，尚未查明"))
    if found.of(UNREADABLE) or found.read_at is None or now - found.read_at > OLDEST_READ:
        concerns.append(("no_evidence", "交换机话单目前取不到，呼叫无法核对"))
    if number := found.of(DOUBTFUL):
        concerns.append(("warning", f"{number} 起呼叫与话单不一致，尚未查明"))
    if not found.agreed:
        concerns.append(("no_evidence", "近 30 天没有核对一致的呼叫"))
    return concerns


def judge_recordings(found: Found) -> list[Concern]:
    """Return what keeps B8 from being well."""
    concerns: list[Concern] = []
    if number := found.of(UNRECORDED):
        concerns.append(("breached", f"{number} 起接通的呼叫缺录音"))
    if number := found.of(FLAWED):
        concerns.append(("warning", f"{number} 起录音异常尚未处理"))
    if not found.recorded:
        concerns.append(("no_evidence", "近 30 天没有核对一致的录音"))
    return concerns


def calls(found: Found, now: datetime) -> Evidence:
    """Return how B4 stands."""
    figures = (
        count("records", "近30天交换机话单", found.records),
        count("agreed", "拨号、话单、案件一致", found.agreed),
        count("uncalled", "无案件呼叫", found.of(UNCALLED)),
        count("doubtful", "与话单不一致", found.of(DOUBTFUL)),
        time("read_at", "话单读取至", found.read_at),
    )
    return evidence_of(judge_calls(found, now), figures, now)


def recordings(found: Found, now: datetime) -> Evidence:
    """Return how B8 stands."""
    figures = (
        count("answered", "近30天核对一致的接通", found.answered),
        count("recorded", "其中有录音", found.recorded),
        count("unrecorded", "缺录音", found.of(UNRECORDED)),
        count("flawed", "录音异常", found.of(FLAWED)),
    )
    return evidence_of(judge_recordings(found), figures, now)


class Reconciled:
    """Reads what the reconciler wrote, for one clause: `calls` or `recordings`.

    `nodes`: the switches whose call records are collected.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        nodes: Collection[str],
        clause: Callable[[Found, datetime], Evidence],
    ) -> None:
        self._database, self._clock, self._nodes, self._clause = database, clock, nodes, clause

    async def __call__(self) -> Evidence:
        """Gather what there is. Raises what the database raises."""
        now = self._clock.now()
        async with self._database.reading() as session:
            found = await _read(session, now - WINDOW, self._nodes)
        return self._clause(found, now)


async def _read(session: AsyncSession, since: datetime, nodes: Collection[str]) -> Found:
    records = await session.scalar(
        select(func.count()).select_from(StoredCallRecord).where(StoredCallRecord.started_at >= since)
    )
    agreed, answered, recorded = (
        await session.execute(
            select(
                func.count(),
                func.count(BillableCall.answered_at),
                func.count(func.nullif(BillableCall.recording_sha256, "")),
            ).where(BillableCall.dialed_at >= since)
        )
    ).one()
    read = await session.scalars(
        select(CallRecordSource.read_at).where(
            CallRecordSource.node.in_(nodes), CallRecordSource.read_at.is_not(None)
        )
    )
    moments = [moment for moment in read if moment is not None]
    open_ = await session.execute(
        select(Incident.kind, func.count().label("number"))
        .where(Incident.closed_at.is_(None))
        .group_by(Incident.kind)
    )
    return Found(
        records=records or 0,
        agreed=agreed,
        answered=answered,
        recorded=recorded,
        read_at=min(moments, default=None) if len(moments) == len(nodes) else None,
        open_={row.kind: row.number for row in open_},
    )
