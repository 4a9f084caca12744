"""Deadlines: no open case waits for ever (A5). They are rows, so a restart forgets none."""

import asyncio
import contextlib

import structlog
from sqlalchemy import select

from services.common.database import Database
from services.movecar.cases.machine import ESCALATION_OF_ATTENTION, IllegalTransition
from services.movecar.cases.models import Case
from services.movecar.cases.rows import CaseMoved, find_case
from services.movecar.cases.transitions import CaseRules

log = structlog.get_logger(__name__)

_BATCH = 100
_POLL_SECONDS = 1.0


class Deadlines:
    """Moves cases on whose time has come."""

    def __init__(self, database: Database, rules: CaseRules) -> None:
        self._database = database
        self._rules = rules

    async def run(self) -> None:
        """Watch the deadlines for ever."""
        while True:
            while await self.pass_due() == _BATCH:
                pass
            await self._rules.clock.sleep(_POLL_SECONDS)

    async def pass_due(self) -> int:
        """Move every case on that is due now, at most 100; return how many were due."""
        now = self._rules.clock.now()
        async with self._database.reading() as session:
            due = (
                await session.scalars(
                    select(Case.id).where(Case.deadline_at <= now).order_by(Case.deadline_at).limit(_BATCH)
                )
            ).all()
        for case_id in due:
            with contextlib.suppress(CaseMoved, IllegalTransition):  # somebody was faster: not due any more
                await self._pass(case_id)
            await asyncio.sleep(0)
        return len(due)

    async def _pass(self, case_id: str) -> None:
        rules = self._rules
        async with self._database.transaction() as session:
            case = await find_case(session, case_id, for_update=True)
            if case is None or case.deadline_at is None or case.deadline_at > rules.clock.now():
                return
            log.info("case_deadline_passed", case_id=case.id, status=case.status)
            match case.status:
                case "looking_up":
                    await rules.apply(session, case, "deadline_passed", attention="registry_unavailable")
                case "calling":
                    # The caller should have reported long ago; what became of the call is not known (B5).
                    await rules.apply(session, case, "deadline_passed", attention="call_unknown")
                case "notified":
                    await rules.apply(session, case, "grace_over", outcome="no_complaint")
                case "attention":
                    reason = ESCALATION_OF_ATTENTION[case.attention_reason or "call_unknown"]
                    await rules.apply(session, case, "deadline_passed", escalation=reason)
