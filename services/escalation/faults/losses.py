"""What a downtime cost, as far as it can be known when the recovery notice is due (C4).

Each service counts in its own tables: this one here, the other two when they are asked. That is done at once;
what is not counted within a second is not known, and the notice says so. Whoever let us wait is left out a
while: many parts may recover together, and each of their notices would wait again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

import structlog
from pydantic import BaseModel
from sqlalchemy import func, select

from services.common.database import Database
from services.escalation.faults.records import Fault
from services.escalation.faults.tallies import Neighbour
from services.escalation.faults.toll import Calls, Cases, Desk, sentence
from services.escalation.models import UNKNOWN, DeskCall, Escalation

log = structlog.get_logger(__name__)

LATE: Final = timedelta(seconds=10)
"""An escalation that reached the feed later than this after its case asked for it was late."""
SECONDS: Final = 1.0
"""The notice does not wait longer for figures."""
_LEFT_OUT_SECONDS: Final = 5.0

T = TypeVar("T")
FiguresT = TypeVar("FiguresT", bound=BaseModel)


class Ask(Protocol):
    """Asks another service what it counts of a span; raises whatever is wrong."""

    async def __call__(
        self, service: Neighbour, begin: datetime, end: datetime, figures: type[FiguresT], /
    ) -> FiguresT:
        """Return its figures."""


class Losses:
    """Counts from this service's own tables, and has the others count in theirs, all within `seconds`."""

    def __init__(self, database: Database, ask: Ask, *, seconds: float = SECONDS) -> None:
        self._database, self._ask, self._seconds = database, ask, seconds
        self._left_out: dict[str, float] = {}
        """Until when, by the loop's clock."""

    async def __call__(self, fault: Fault) -> str:
        """Return a sentence for the notice; empty for what is no downtime. Never raises, whatever is down."""
        if not fault.downtime or fault.recovered_at is None:
            return ""
        begin, end = fault.began_at, fault.recovered_at
        cases, calls, desk = await asyncio.gather(
            self._known(fault, "movecar", lambda: self._ask("movecar", begin, end, Cases)),
            self._known(fault, "outbound", lambda: self._ask("outbound", begin, end, Calls)),
            self._known(fault, "escalation", lambda: self._count(begin, end)),
        )
        return sentence(cases, calls, desk)

    async def _count(self, begin: datetime, end: datetime) -> Desk:
        async with self._database.reading() as session:
            asked = await session.execute(
                select(Escalation.escalated_at, Escalation.raised_at).where(
                    Escalation.escalated_at >= begin, Escalation.escalated_at <= end
                )
            )
            waits = [raised_at - escalated_at for escalated_at, raised_at in asked]
            unclear = await session.scalar(
                select(func.count()).where(UNKNOWN, DeskCall.queued_at >= begin, DeskCall.queued_at <= end)
            )
        late = sum(wait > LATE for wait in waits)
        return Desk(handed_over=len(waits), late=late, unclear=unclear or 0)

    async def _known(self, fault: Fault, service: str, count: Callable[[], Awaitable[T]]) -> T | None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._left_out.get(service, 0):
            return None
        try:
            async with asyncio.timeout(self._seconds):
                return await count()
        except Exception as error:
            log.warning("losses_not_known", fault=fault.id, service=service, error=type(error).__name__)
            if isinstance(error, TimeoutError):
                self._left_out[service] = loop.time() + _LEFT_OUT_SECONDS
            return None
