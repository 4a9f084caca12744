"""Applying a transition: a guarded update, a history row and an event, in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import rows_changed
from services.common.events import (
    CaseChanged,
    CaseEscalated,
    CaseWithdrawn,
    ContactRequested,
    ContactWithdrawn,
    EscalationReason,
    Event,
)
from services.common.http.times import rfc3339
from services.common.ids import new_id
from services.common.settings import Settings
from services.movecar.cases.machine import (
    OPEN,
    OUTCOME_OF_ESCALATION,
    AttentionReason,
    Outcome,
    Trigger,
    deadline_of,
    next_status,
)
from services.movecar.cases.models import Case, CaseAttempt, CaseHistory

SYSTEM = "system"
"""The actor of what nobody did by hand."""

_STOPS_CALLING: frozenset[Trigger] = frozenset({"withdrawn", "escalated_by_operator", "deadline_passed"})


class CaseMoved(Exception):
    """Somebody else moved the case between reading and changing it; read again."""


@dataclass(frozen=True)
class CaseRules:
    """What transitions need beside the case."""

    settings: Settings
    keys: Keys
    clock: Clock

    async def apply(
        self,
        session: AsyncSession,
        case: Case,
        trigger: Trigger,
        *,
        actor: str = SYSTEM,
        reason: str | None = None,
        note: str = "",
        outcome: Outcome | None = None,
        attention: AttentionReason | None = None,
        escalation: EscalationReason | None = None,
        changes: dict[str, Any] | None = None,
        deadline: timedelta | None = None,
    ) -> None:
        """Move a case, tell its history and everyone who must hear of it.

        `case` is changed in place as well. Raises IllegalTransition, or CaseMoved when the row is no longer
        what was read.
        """
        now = self.clock.now()
        status = next_status(case.status, trigger)
        for name, value in (changes or {}).items():
            setattr(case, name, value)
        values: dict[str, Any] = {
            "status": status,
            "version": case.version + 1,
            "updated_at": now,
            "deadline_at": now + deadline
            if deadline is not None
            else deadline_of(status, now, self.settings, len(case.numbers_sealed)),
            "attention_reason": attention,
        } | (changes or {})
        events: list[Event] = []
        if status == "calling":
            values |= self._new_contact(case, now, events)
        elif trigger in _STOPS_CALLING and case.status == "calling" and case.contact_id is not None:
            events.append(ContactWithdrawn(occurred_at=now, case_id=case.id, contact_id=case.contact_id))
        if status == "escalated" and escalation is not None:
            values |= await self._escalation(session, case, escalation, now, events)
            outcome = OUTCOME_OF_ESCALATION.get(escalation, outcome)
        if outcome is not None:
            values["outcome"] = outcome
        if status not in OPEN:
            values["open_key"] = None
        if status == "cancelled" and case.escalation_id is not None:
            values["escalation_status"] = "withdrawn"
            events.append(CaseWithdrawn(occurred_at=now, case_id=case.id, escalation_id=case.escalation_id))
        changed = await session.execute(
            update(Case.__table__)  # type: ignore[arg-type]
            .where(Case.id == case.id, Case.status == case.status, Case.version == case.version)
            .values(**values)
        )
        if rows_changed(changed) != 1:
            raise CaseMoved(case.id)
        await session.execute(
            insert(CaseHistory).values(
                case_id=case.id,
                at=now,
                actor=actor,
                trigger=trigger,
                from_status=case.status,
                to_status=status,
                reason=reason or escalation or attention,
                note=note,
            )
        )
        for name, value in values.items():
            setattr(case, name, value)
        events.append(self.changed(case, now))
        await emit(session, *events)

    def changed(self, case: Case, now: datetime) -> CaseChanged:
        """Return the news for the consoles that a case changed."""
        return CaseChanged(
            occurred_at=now, case_id=case.id, status=case.status, escalated=case.escalation_id is not None
        )

    def changed_to(self, case_id: str, status: str, escalation_id: str | None) -> CaseChanged:
        """Return the same news where only these columns of the case were read."""
        return CaseChanged(
            occurred_at=self.clock.now(),
            case_id=case_id,
            status=status,
            escalated=escalation_id is not None,
        )

    def _new_contact(self, case: Case, now: datetime, events: list[Event]) -> dict[str, Any]:
        contact_id = new_id()
        context = f"contact:{contact_id}"
        numbers = [self.keys.open(number, f"case:{case.id}:owner") for number in case.numbers_sealed]
        events.append(
            ContactRequested(
                occurred_at=now,
                case_id=case.id,
                contact_id=contact_id,
                mode=case.mode,
                plate_sealed=self.keys.seal(self.plate(case), context),
                numbers_sealed=tuple(self.keys.seal(number, context) for number in numbers),
            )
        )
        return {"contact_id": contact_id, "contacts": case.contacts + 1}

    async def _escalation(
        self,
        session: AsyncSession,
        case: Case,
        reason: EscalationReason,
        now: datetime,
        events: list[Event],
    ) -> dict[str, Any]:
        escalation_id = new_id()
        attempts = await session.execute(
            select(CaseAttempt.number, CaseAttempt.outcome, CaseAttempt.dialed_at, CaseAttempt.ended_at)
            .where(CaseAttempt.case_id == case.id)
            .order_by(CaseAttempt.queued_at)
        )
        details = {
            "case_number": case.number,
            "plate": self.plate(case),
            "plate_color": case.plate_color,
            "location": case.location,
            "situation": case.situation,
            "note": case.note,
            "requester_phone": self.requester(case),
            "operator": case.operator,
            "attempts": [
                {
                    "number": number,
                    "outcome": outcome,
                    "dialed_at": rfc3339(dialed_at) if dialed_at else None,
                    "ended_at": rfc3339(ended_at) if ended_at else None,
                }
                for number, outcome, dialed_at, ended_at in attempts
            ],
        }
        events.append(
            CaseEscalated(
                occurred_at=now,
                case_id=case.id,
                escalation_id=escalation_id,
                reason=reason,
                details_sealed=self.keys.seal(orjson.dumps(details).decode(), f"escalation:{escalation_id}"),
            )
        )
        return {
            "escalation_id": escalation_id,
            "escalation_reason": reason,
            "escalation_status": "raised",
            "escalation_seq": None,
        }

    def plate(self, case: Case) -> str:
        """Return the plate of a case."""
        return self.keys.open(case.plate_sealed, f"case:{case.id}:plate")

    def requester(self, case: Case) -> str:
        """Return the requester's number of a case."""
        return self.keys.open(case.requester_sealed, f"case:{case.id}:requester")


async def find_case(session: AsyncSession, case_id: str, *, for_update: bool = False) -> Case | None:
    """Return a case, detached from the session's own change tracking; None when there is none.

    `for_update` makes the others wait until this transaction ends (on SQLite every writer waits anyway).
    """
    statement = select(Case).where(Case.id == case_id)
    if for_update:
        statement = statement.with_for_update()
    case = await session.scalar(statement)
    if case is not None:
        session.expunge(case)
    return case
