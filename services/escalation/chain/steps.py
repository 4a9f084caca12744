"""Taking the steps of the chain when they are due: each in one transaction with its proof (C3)."""

import asyncio
import contextlib
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Counter
from sqlalchemy import case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.common.events import EscalationReminded
from services.escalation.chain.policy import RANKS, Policy, Step, step_of, waiting_due
from services.escalation.desk_calls.queue import DeskCalls
from services.escalation.escalations import Escalations
from services.escalation.models import Escalation, EscalationStep

log = structlog.get_logger(__name__)

STEPS = Counter("movecar_escalation_steps_total", "Steps taken for escalations that waited", ["step"])

_BATCH: Final = 50
_POLL_SECONDS: Final = 0.5
_RANK = case(dict(RANKS), value=Escalation.priority, else_=len(RANKS))


class Chain:
    """Looks for due steps, most urgent first. Any number of instances may run: the row says who takes one."""

    def __init__(self, database: Database, escalations: Escalations, calls: DeskCalls, clock: Clock) -> None:
        self._database = database
        self._escalations = escalations
        self._calls = calls
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: an escalation was raised."""
        self._woken.set()

    async def run(self) -> None:
        """Take steps for ever. A database that is away delays them and loses none."""
        while True:
            self._woken.clear()
            try:
                while await self.take_due() == _BATCH:
                    pass
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("chain_waits", error=repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()

    async def take_due(self) -> int:
        """Take the steps that are due now, up to fifty escalations; return how many were looked at."""
        async with self._database.reading() as session:
            due = (
                await session.scalars(
                    select(Escalation.id)
                    .where(Escalation.next_step_at <= self._clock.now())
                    .order_by(_RANK, Escalation.next_step_at)
                    .limit(_BATCH)
                )
            ).all()
        for escalation_id in due:
            async with self._database.transaction() as session:
                await self._take(session, escalation_id)
        return len(due)

    async def _take(self, session: AsyncSession, escalation_id: str) -> None:
        row = await self._escalations.load(session, escalation_id)
        now = self._clock.now()
        due_at = row.next_step_at
        if due_at is None or due_at > now:
            return  # acknowledged, or taken by another instance, since it was found
        policy = Policy.model_validate(row.policy)
        if row.status == "acknowledged":
            step: Step = "raise_again"
            await self._escalations.raise_again(session, row, policy)
        else:
            step, _ = step_of(policy, row.steps_taken)
            await self._insist(session, row, policy, step, now)
        await session.execute(
            insert(EscalationStep).values(escalation_id=row.id, step=step, due_at=due_at, taken_at=now)
        )
        await emit(
            session,
            EscalationReminded(occurred_at=now, case_id=row.case_id, escalation_id=row.id, step=step),
        )
        STEPS.labels(step).inc()
        log.warning(
            "escalation_step", escalation=row.id, step=step, late_seconds=(now - due_at).total_seconds()
        )

    async def _insist(
        self, session: AsyncSession, row: Escalation, policy: Policy, step: Step, now: datetime
    ) -> None:
        taken = row.steps_taken + 1
        waits_from = row.waits_from or row.raised_at
        # After an outage steps may be overdue by more than one: each is taken once, none is skipped.
        following = waiting_due(policy, taken, waits_from)
        await session.execute(
            update(Escalation)
            .where(Escalation.id == row.id)
            .values(steps_taken=taken, next_step_at=following),
            execution_options={"synchronize_session": False},
        )
        await self._escalations.remind(session, row, step, taken)
        if step == "call":
            await self._calls.ask(session, row, now)
