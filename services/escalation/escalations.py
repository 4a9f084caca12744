"""The rules of an escalation: raised by a case, acknowledged and disposed by the desk, withdrawn (C1–C3).

Each change is one guarded update, one feed item and one event, in the caller's transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.events import (
    CaseDetailsChanged,
    CaseEscalated,
    EscalationAcknowledged,
    EscalationDisposed,
    EscalationRaised,
)
from services.common.membership import among
from services.common.settings import Settings
from services.escalation import machine
from services.escalation.chain.policy import (
    Policy,
    Step,
    disposition_due,
    policy_for,
    priority_of,
    waiting_due,
)
from services.escalation.documents import EscalationAnswer, EscalationData, Reminder, facts, open_details
from services.escalation.feed import Feed, ItemType, NewItem
from services.escalation.machine import Status, Trigger
from services.escalation.models import Escalation

log = structlog.get_logger(__name__)

_KNOWN = select(Escalation.id).where(among(Escalation.id, "ids"))


class UnknownEscalation(LookupError):
    """There is no escalation with this id."""


class Escalations:
    """Applies the rules; every method writes in the transaction it is given and commits nothing."""

    def __init__(self, feed: Feed, keys: Keys, clock: Clock, settings: Settings) -> None:
        self._settings = settings
        self._feed = feed
        self._keys = keys
        self._clock = clock

    async def raise_for_cases(self, session: AsyncSession, events: Sequence[CaseEscalated]) -> None:
        """Put cases before the desk, in their order, once per escalation id.

        Raises what `open_details` raises: an escalation whose details we did not seal is not shown.
        """
        await self._feed.lock(session)
        asked = {event.escalation_id: event for event in events}
        known = set(await session.scalars(_KNOWN, {"ids": list(asked)}))
        now = self._clock.now()
        # Events come at least once.
        rows = [self._row(event, now) for event in asked.values() if event.escalation_id not in known]
        if not rows:
            return
        numbers = await self._feed.append(
            session, now, *(self._item("escalation.raised", row) for row in rows)
        )
        for row, seq in zip(rows, numbers, strict=True):
            row.seq = seq
        session.add_all(rows)
        await session.flush()
        await emit(
            session,
            *(
                EscalationRaised(occurred_at=now, case_id=row.case_id, escalation_id=row.id, seq=row.seq)
                for row in rows
            ),
        )
        for row in rows:
            log.info("escalation_raised", escalation=row.id, reason=row.reason, seq=row.seq)

    def _row(self, event: CaseEscalated, now: datetime) -> Escalation:
        open_details(self._keys, event.escalation_id, event.details_sealed)
        policy = policy_for(event.reason, self._settings)
        return Escalation(
            id=event.escalation_id,
            case_id=event.case_id,
            reason=event.reason,
            status="raised",
            details_sealed=event.details_sealed,
            escalated_at=event.occurred_at,
            raised_at=now,
            priority=priority_of(event.reason),
            policy=policy.model_dump(),
            waits_from=now,
            steps_taken=0,
            next_step_at=waiting_due(policy, 0, now),
        )

    async def update(self, session: AsyncSession, event: CaseDetailsChanged) -> None:
        """Tell the desk what has become known of the case since; nothing once it is dealt with.

        Raises UnknownEscalation, and what `open_details` raises.
        """
        row = await self.load(session, event.escalation_id)
        if row.status not in machine.OPEN:
            return
        open_details(self._keys, event.escalation_id, event.details_sealed)
        row.details_sealed = event.details_sealed
        await session.flush()
        await self._append(session, "escalation.updated", row, self._clock.now())

    async def remind(self, session: AsyncSession, row: Escalation, step: Step, times: int) -> None:
        """Put an escalation that waits before the desk again; `times` counts the steps taken (C3)."""
        await self._append(
            session, "escalation.reminded", row, self._clock.now(), Reminder(step=step, times=times)
        )

    async def raise_again(self, session: AsyncSession, row: Escalation, policy: Policy) -> None:
        """Let an acknowledged escalation wait for somebody anew: it was not disposed of in time (C3)."""
        now = self._clock.now()
        row = await self._move(
            session,
            row,
            "raise_again",
            machine.follow(_status(row), "raise_again"),
            waits_from=now,
            steps_taken=0,
            next_step_at=waiting_due(policy, 0, now),
        )
        await self.remind(session, row, "raise_again", 0)

    async def acknowledge(
        self, session: AsyncSession, escalation_id: str, by: str, officer: str | None
    ) -> EscalationAnswer:
        """Record that the desk has taken it over; a repeat changes nothing and gets the same answer.

        Raises UnknownEscalation, or IllegalTransition once it is disposed or withdrawn.
        """
        row = await self.load(session, escalation_id)
        status = machine.follow(_status(row), "acknowledge")
        if status == row.status:
            return self.answer(row)
        now = self._clock.now()
        sealed = None if officer is None else self._keys.seal(officer, f"escalation:{row.id}:officer")
        row = await self._move(
            session,
            row,
            "acknowledge",
            status,
            acknowledged_at=now,
            acknowledged_by=by,
            officer_sealed=sealed,
            next_step_at=disposition_due(self._policy(row), now),
        )
        await self._append(session, "escalation.acknowledged", row, now)
        await emit(
            session, EscalationAcknowledged(occurred_at=now, case_id=row.case_id, escalation_id=row.id, by=by)
        )
        return self.answer(row)

    async def dispose(
        self, session: AsyncSession, escalation_id: str, by: str, code: str, note: str
    ) -> EscalationAnswer:
        """Record how the desk dealt with it; a repeat with the same code changes nothing.

        Raises UnknownEscalation, or IllegalTransition when it is withdrawn or was given another code.
        """
        row = await self.load(session, escalation_id)
        status = machine.dispose(_status(row), row.disposition_code, code)
        if status == row.status:
            return self.answer(row)
        now = self._clock.now()
        row = await self._move(
            session,
            row,
            "dispose",
            status,
            disposed_at=now,
            disposed_by=by,
            disposition_code=code,
            disposition_note_sealed=self._keys.seal(note, f"escalation:{row.id}:disposition_note"),
            next_step_at=None,
        )
        await self._append(session, "escalation.disposed", row, now)
        await emit(
            session,
            EscalationDisposed(occurred_at=now, case_id=row.case_id, escalation_id=row.id, code=code, by=by),
        )
        return self.answer(row)

    async def withdraw(self, session: AsyncSession, escalation_id: str) -> None:
        """Tell the desk that it need not act any more. Raises UnknownEscalation."""
        row = await self.load(session, escalation_id)
        status = machine.follow(_status(row), "withdraw")
        if status == row.status:
            return
        now = self._clock.now()
        row = await self._move(session, row, "withdraw", status, withdrawn_at=now, next_step_at=None)
        await self._append(session, "escalation.withdrawn", row, now)

    def answer(self, row: Escalation) -> EscalationAnswer:
        """Return an escalation as the API shows it."""
        return EscalationAnswer(**facts(self._keys, row), id=row.id, seq=row.seq)

    def _policy(self, row: Escalation) -> Policy:
        if row.policy is None:  # raised by a version that had none
            return policy_for(row.reason, self._settings)  # type: ignore[arg-type]
        return Policy.model_validate(row.policy)

    async def adopt(self, session: AsyncSession, escalation_id: str) -> bool:
        """Give an open escalation of an earlier version its policy; tell whether it had none (C3)."""
        row = await self.load(session, escalation_id)
        if row.status not in machine.OPEN or (row.policy is not None and row.next_step_at is not None):
            return False
        now, policy = self._clock.now(), self._policy(row)
        row.policy, row.priority = policy.model_dump(), priority_of(row.reason)  # type: ignore[arg-type]
        row.waits_from, row.steps_taken = now, 0
        if row.status == "acknowledged":
            row.next_step_at = disposition_due(policy, row.acknowledged_at or now)
        else:
            row.next_step_at = waiting_due(policy, 0, now)
        await session.flush()
        return True

    async def load(self, session: AsyncSession, escalation_id: str) -> Escalation:
        """Return an escalation under the feed's lock. Raises UnknownEscalation."""
        await self._feed.lock(session)
        row = await session.get(Escalation, escalation_id, populate_existing=True)
        if row is None:
            raise UnknownEscalation(escalation_id)
        return row

    async def _move(
        self, session: AsyncSession, row: Escalation, trigger: Trigger, status: Status, **changes: Any
    ) -> Escalation:
        moved = await session.execute(
            update(Escalation)
            .where(Escalation.id == row.id, Escalation.status == row.status)
            .values(status=status, **changes)
            .returning(Escalation),
            execution_options={"populate_existing": True, "synchronize_session": False},
        )
        log.info("escalation_moved", escalation=row.id, trigger=trigger, to=status)
        return moved.scalar_one()  # the feed's lock is held: nobody else can have moved it

    async def _append(
        self,
        session: AsyncSession,
        kind: ItemType,
        row: Escalation,
        now: datetime,
        reminder: Reminder | None = None,
    ) -> None:
        await self._feed.append(session, now, self._item(kind, row, reminder))

    def _item(self, kind: ItemType, row: Escalation, reminder: Reminder | None = None) -> NewItem:
        data = EscalationData(**facts(self._keys, row), escalation_id=row.id, reminder=reminder)
        return NewItem(kind, row.id, data)


def _status(row: Escalation) -> Status:
    return row.status  # type: ignore[return-value]
