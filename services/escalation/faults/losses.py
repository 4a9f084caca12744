"""What a downtime cost, as far as this service can know it when the recovery notice is due (C4)."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import func, select

from services.common.database import Database
from services.escalation.faults.records import Fault
from services.escalation.models import DeskCall, Escalation

log = structlog.get_logger(__name__)

LATE: Final = timedelta(seconds=10)
"""An escalation that reached the feed later than this after its case asked for it was late."""
NOT_KNOWN: Final = "故障期间的影响尚无法统计。"
_SECONDS: Final = 1.0
"""The notice does not wait longer for figures."""


class Losses:
    """Counts from this service's own tables; what others own is named as not known yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, fault: Fault) -> str:
        """Return a sentence for the notice; empty for what is no downtime. Never raises, whatever is down."""
        if not fault.downtime or fault.recovered_at is None:
            return ""
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._count(fault.began_at, fault.recovered_at)
        except Exception as error:
            log.warning("losses_not_known", fault=fault.id, error=type(error).__name__)
            return NOT_KNOWN

    async def _count(self, begin: datetime, end: datetime) -> str:
        async with self._database.reading() as session:
            asked = await session.execute(
                select(Escalation.escalated_at, Escalation.raised_at).where(
                    Escalation.escalated_at >= begin, Escalation.escalated_at <= end
                )
            )
            waits = [raised_at - escalated_at for escalated_at, raised_at in asked]
            unclear = await session.scalar(
                select(func.count()).where(
                    DeskCall.outcome == "unknown", DeskCall.queued_at >= begin, DeskCall.queued_at <= end
                )
            )
        late = sum(wait > LATE for wait in waits)
        return (
            f"截至恢复时已知：故障期间移交110的案件{len(waits)}件，其中延迟送达{late}件；"
            f"拨打接警台电话结果不明{unclear or 0}次。受影响的挪车受理和车主呼叫尚无法统计。"
        )
