"""Applying transitions: guarded updates, history rows and events, in the caller's transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import after_commit
from services.common.events import (
    CaseEscalated,
    CasesChanged,
    CaseWithdrawn,
    ContactRequested,
    ContactWithdrawn,
    EscalationReason,
    Event,
)
from services.common.ids import new_id
from services.common.membership import among
from services.common.settings import Settings
from services.movecar.cases.desk_details import ATTEMPTS, sealed_details
from services.movecar.cases.machine import (
    OPEN,
    OUTCOME_OF_ESCALATION,
    AttentionReason,
    Outcome,
    Trigger,
    deadline_of,
    next_status,
)
from services.movecar.cases.models import Case, CaseAttempt
from services.movecar.cases.rows import change_cases, write_history

_TOLD = "movecar_told"
SYSTEM = "system"
"""The actor of what nobody did by hand."""

_STOPS_CALLING: frozenset[Trigger] = frozenset({"withdrawn", "escalated_by_operator", "deadline_passed"})


_ATTEMPTS_OF = ATTEMPTS.where(among(CaseAttempt.case_id, "ids")).order_by(CaseAttempt.queued_at)


@dataclass(frozen=True, slots=True)
class Move:
    """A transition to be made: what happens to which case, by whom and why.

    `changes` are further columns.
    """

    case: Case
    trigger: Trigger
    actor: str = SYSTEM
    reason: str | None = None
    note: str = ""
    outcome: Outcome | None = None
    attention: AttentionReason | None = None
    escalation: EscalationReason | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What a move writes."""

    case: Case
    values: dict[str, Any]
    history: dict[str, Any]
    events: list[Event]


@dataclass(frozen=True)
class CaseRules:
    """What transitions need beside the case."""

    settings: Settings
    keys: Keys
    clock: Clock
    lookup_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a transaction is committed that lets a case wait for its lookup."""

    def want_lookup(self, session: AsyncSession) -> None:
        """Have the registry asked once this transaction is committed."""
        after_commit(session, self.lookup_wanted.set)

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
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Move a case, tell its history and everyone who must hear of it.

        `case` is changed in place as well. Raises IllegalTransition, or CaseMoved when the row is no longer
        what was read.
        """
        move = Move(case, trigger, actor, reason, note, outcome, attention, escalation, changes or {})
        await self.apply_all(session, [move])

    async def apply_all(self, session: AsyncSession, moves: Sequence[Move], *, locked: bool = False) -> None:
        """Move different cases, in the order given. Raises as `apply`; nothing may be committed then.

        `locked`: they were read with `lock_cases` in this transaction.
        """
        if not moves:
            return
        now = self.clock.now()
        attempts = await _attempts_of(session, moves)
        planned = [self._plan(move, now, attempts.get(move.case.id, ())) for move in moves]
        await change_cases(session, [(plan.case, plan.values) for plan in planned], locked=locked)
        await write_history(session, *(plan.history for plan in planned))
        for plan in planned:
            for name, value in plan.values.items():
                setattr(plan.case, name, value)
            if plan.case.status == "looking_up":
                self.want_lookup(session)
        events = [event for plan in planned for event in plan.events]
        await emit(session, *events, *self.news(session, *(plan.case.id for plan in planned)))

    def _plan(self, move: Move, now: datetime, attempts: Sequence[Any]) -> _Planned:
        case, outcome = move.case, move.outcome
        status = next_status(case.status, move.trigger)
        for name, value in move.changes.items():
            setattr(case, name, value)
        values: dict[str, Any] = {
            "status": status,
            "version": case.version + 1,
            "updated_at": now,
            "deadline_at": deadline_of(status, now, self.settings, len(case.numbers_sealed)),
            "attention_reason": move.attention,
        } | dict(move.changes)
        events: list[Event] = []
        if status == "calling":
            values |= self._new_contact(case, now, events)
        elif move.trigger in _STOPS_CALLING and case.status == "calling" and case.contact_id is not None:
            events.append(ContactWithdrawn(occurred_at=now, case_id=case.id, contact_id=case.contact_id))
        if status == "escalated" and move.escalation is not None:
            values |= self._escalation(case, move.escalation, move.note, attempts, now, events)
            outcome = OUTCOME_OF_ESCALATION.get(move.escalation, outcome)
        if outcome is not None:
            values["outcome"] = outcome
        if status not in OPEN:
            values["open_key"] = None
        if status == "cancelled" and case.escalation_id is not None:
            values["escalation_status"] = "withdrawn"
            events.append(CaseWithdrawn(occurred_at=now, case_id=case.id, escalation_id=case.escalation_id))
        history = {
            "case_id": case.id,
            "at": now,
            "actor": move.actor,
            "trigger": move.trigger,
            "from_status": case.status,
            "to_status": status,
            "reason": move.reason or move.escalation or move.attention,
            "note": move.note,
        }
        return _Planned(case, values, history, events)

    def news(self, session: AsyncSession, *case_ids: str) -> list[Event]:
        """Return the news for the consoles that these cases changed, to be emitted in this transaction.

        A case is told of once in a transaction, whatever happens to it: consoles show it as it is afterwards.
        Nothing is left to tell of cases that were told of before.
        """
        told: set[str] = session.info.setdefault(_TOLD, set())
        fresh = [case_id for case_id in dict.fromkeys(case_ids) if case_id not in told]
        told.update(fresh)
        return [CasesChanged(occurred_at=self.clock.now(), case_ids=tuple(fresh))] if fresh else []

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
                vehicle=case.plate_index,
                operator=case.operator_id,
                seat=case.seat,
            )
        )
        return {"contact_id": contact_id, "contacts": case.contacts + 1}

    def _escalation(
        self,
        case: Case,
        reason: EscalationReason,
        note: str,
        attempts: Sequence[Any],
        now: datetime,
        events: list[Event],
    ) -> dict[str, Any]:
        escalation_id = new_id()
        events.append(
            CaseEscalated(
                occurred_at=now,
                case_id=case.id,
                escalation_id=escalation_id,
                reason=reason,
                # What was entered with the case, and what the operator tells the desk now.
                details_sealed=sealed_details(self, case, escalation_id, (case.note, note), attempts),
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


async def _attempts_of(session: AsyncSession, moves: Sequence[Move]) -> dict[str, list[Any]]:
    """The attempts, in order, of the cases that are escalated: the desk is told of them."""
    ids = [move.case.id for move in moves if move.escalation is not None]
    attempts: dict[str, list[Any]] = {}
    if ids:
        for row in await session.execute(_ATTEMPTS_OF, {"ids": ids}):
            attempts.setdefault(row.case_id, []).append(row)
    return attempts
