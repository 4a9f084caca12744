"""Checks every open escalation against its frozen policy, and says so when one is not kept (C3).

The chain itself could be what is broken, so this looks at the rows alone. It reports itself well only after a
complete look found nothing, and not for ever: an auditor that has stopped looking is not well either.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import or_, select

from services.common.clock import Clock
from services.common.database import Database
from services.common.tasks import repeat
from services.escalation.chain.policy import judge
from services.escalation.escalations import Escalations
from services.escalation.machine import OPEN
from services.escalation.models import Escalation

log = structlog.get_logger(__name__)

VIOLATIONS = Gauge("movecar_escalation_chain_violations", "Open escalations whose chain is not kept")

GRACE: Final = timedelta(seconds=10)
"""How late a step may be before it counts as missed."""
_EVERY_SECONDS: Final = 5.0
_STALE: Final = timedelta(seconds=30)


class Auditor:
    """Looks at every open escalation every five seconds."""

    def __init__(self, database: Database, escalations: Escalations, clock: Clock) -> None:
        self._database = database
        self._escalations = escalations
        self._clock = clock
        self._looked_at = clock.now()
        self._violations: dict[str, str] = {}

    @property
    def violations(self) -> int:
        """How many escalations the last look found whose chain was not kept."""
        return len(self._violations)

    @property
    def looked_at(self) -> datetime:
        """When it last looked at all of them, or began."""
        return self._looked_at

    @property
    def stale(self) -> bool:
        """Whether the last look is too long ago to say anything of now."""
        return self._clock.now() - self._looked_at > _STALE

    async def run(self) -> None:
        """Look for ever."""
        await repeat(self.look, self._clock, _EVERY_SECONDS, "chain_auditor_waits")

    async def look(self) -> dict[str, str]:
        """Return what is wrong, by escalation; give those of an earlier version their policy first."""
        now = self._clock.now()
        found: dict[str, str] = {}
        async with self._database.reading() as session:
            rows = await session.execute(
                select(Escalation.id, Escalation.status, Escalation.policy, Escalation.next_step_at).where(
                    or_(Escalation.status.in_(sorted(OPEN)), Escalation.next_step_at.is_not(None))
                )
            )
            open_ = list(rows)
        for row in open_:
            if row.status in OPEN and (row.policy is None or row.next_step_at is None):
                async with self._database.transaction() as session:
                    if await self._escalations.adopt(session, row.id):
                        log.warning("escalation_adopted", escalation=row.id)
                continue
            violation = judge(row.status, row.next_step_at, now, GRACE)
            if violation is not None:
                found[row.id] = violation
        for escalation_id in found.keys() - self._violations.keys():
            log.error("chain_violated", escalation=escalation_id, violation=found[escalation_id])
        self._violations, self._looked_at = found, now
        VIOLATIONS.set(len(found))
        return found

    async def check(self) -> str | None:
        """Readiness: None only while a recent look at all of them found nothing."""
        if self.stale:
            return "escalations are not being checked"
        if self._violations:
            return f"{len(self._violations)} escalations wait past their deadline"
        return None
