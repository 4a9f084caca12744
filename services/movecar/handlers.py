"""What the other services report and what it does to cases: read the table at the end first."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Insert, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Handler, Together, emit
from services.common.events import (
    AttemptChanged,
    CallsDisowned,
    CallsPlaced,
    ContactConcluded,
    EscalationAcknowledged,
    EscalationDisposed,
    EscalationRaised,
    EscalationReminded,
    Event,
    HandOverEnded,
    RecordingKept,
)
from services.common.membership import among
from services.movecar.cases.desk_details import AT_THE_DESK, tell_desk
from services.movecar.cases.machine import (
    CONTACT_ATTENTION,
    CONTACT_TRIGGERS,
    ESCALATION_OF_TRIGGER,
    OPEN,
)
from services.movecar.cases.models import Case, CaseAttempt
from services.movecar.cases.rows import change_cases, find_case, lock_cases, write_history
from services.movecar.cases.transitions import CaseRules, Move
from services.movecar.recordings.catalogue import take_in

_ATTEMPTS = cast(Table, CaseAttempt.__table__)
_REPORTED = tuple(column.name for column in _ATTEMPTS.columns if column.name != "id")


def _keep_newest(make: Any) -> Insert:
    statement = make(_ATTEMPTS)
    return cast(
        Insert,
        statement.on_conflict_do_update(
            index_elements=[_ATTEMPTS.c.id],
            set_={name: statement.excluded[name] for name in _REPORTED},
            where=_ATTEMPTS.c.version < statement.excluded.version,
        ),
    )


_KEEP = {"postgresql": _keep_newest(postgresql.insert), "sqlite": _keep_newest(sqlite.insert)}
_REMINDERS = {
    "remind": "desk_reminded",
    "call": "desk_called",
    "supervisor": "supervisor_alerted",
    "raise_again": "desk_not_disposed",
}
"""A step of the desk's chain → how the case's history names it."""
_CASES = cast(Table, Case.__table__)
_STANDING = select(_CASES.c.id, _CASES.c.status).where(among(_CASES.c.id, "ids"))
_OPENED = select(_CASES.c.id, _CASES.c.created_at).where(among(_CASES.c.id, "ids"))
_CLOCKS_APART = timedelta(seconds=60)
"""How far the clocks of two machines of ours may be apart."""
_PLACE = (
    update(_CASES)
    .where(_CASES.c.escalation_id == bindparam("raised"))
    .values(escalation_seq=bindparam("place"))
)


class Reports:
    """Handlers of the events movecar consumes."""

    def __init__(self, rules: CaseRules) -> None:
        self._rules = rules

    async def on_attempts_changed(self, session: AsyncSession, events: Sequence[AttemptChanged]) -> None:
        """Keep the newest state of each call; an older one that comes late changes nothing."""
        rows = [
            {"id": event.attempt_id} | {name: getattr(event, name) for name in _REPORTED} for event in events
        ]
        await session.execute(_KEEP[session.get_bind().dialect.name], rows)
        await self._tell(session, events)

    async def on_contacts_concluded(self, session: AsyncSession, events: Sequence[ContactConcluded]) -> None:
        """Move the cases by what became of calling their owners."""
        for share in _once_a_case(events):
            cases = await lock_cases(session, list(share))
            moves = []
            for event in share.values():
                case = cases.get(event.case_id)
                if case is None:
                    continue
                if case.status != "calling" or case.contact_id != event.contact_id:
                    # Withdrawn or escalated by hand meanwhile, or a newer contact is running: the news is
                    # kept for the file and moves nothing.
                    await self._note(session, case, "contact_concluded_late", event.outcome)
                    continue
                trigger = CONTACT_TRIGGERS[event.outcome]
                moves.append(
                    Move(
                        case,
                        trigger,
                        reason=event.reason or event.outcome,
                        attention=CONTACT_ATTENTION.get(event.outcome),
                        escalation=ESCALATION_OF_TRIGGER.get(trigger),
                    )
                )
            await self._rules.apply_all(session, moves, locked=True)

    async def on_recordings_kept(self, session: AsyncSession, events: Sequence[RecordingKept]) -> None:
        """Take recordings into the catalogue; consoles show them, the desk is told of those of its cases."""
        await take_in(session, events, self._rules.clock.now())
        await self._tell(session, events)
        standing = await session.execute(_STANDING, {"ids": sorted({event.case_id for event in events})})
        for case_id, status in standing.all():
            if status in AT_THE_DESK and (case := await find_case(session, case_id)) is not None:
                await tell_desk(session, self._rules, case)

    async def on_calls_placed(self, session: AsyncSession, event: CallsPlaced) -> None:
        """Disown calls for which there was no case when the owner was rung (B4)."""
        opened: dict[str, datetime] = {}
        ids = {call.case_id for call in event.calls}
        for row in await session.execute(_OPENED, {"ids": list(ids)}):
            opened[row.id] = row.created_at
        disowned = tuple(
            call
            for call in event.calls
            if call.case_id not in opened or opened[call.case_id] > call.dialed_at + _CLOCKS_APART
        )
        if disowned:
            await emit(session, CallsDisowned(occurred_at=self._rules.clock.now(), calls=disowned))

    async def on_escalations_raised(self, session: AsyncSession, events: Sequence[EscalationRaised]) -> None:
        """Show the operators the places in the desk's feed."""
        await session.execute(
            _PLACE, [{"raised": event.escalation_id, "place": event.seq} for event in events]
        )
        await self._tell(session, events)

    async def _tell(self, session: AsyncSession, events: Iterable[Event]) -> None:
        await emit(session, *self._rules.news(session, *(event.case_id for event in events)))

    async def on_escalation_reminded(self, session: AsyncSession, event: EscalationReminded) -> None:
        """Show on the case that the desk was reminded, called, or that a supervisor must step in (C3)."""
        case = await self._escalated(session, event.case_id, event.escalation_id)
        if case is None:
            return
        await self._note(session, case, _REMINDERS[event.step], None)
        if event.step == "raise_again":
            changes = {"escalation_status": "raised", "version": case.version + 1}
            await change_cases(session, [(case, changes)], locked=True)
        await emit(session, *self._rules.news(session, case.id))

    async def on_hand_over_ended(self, session: AsyncSession, event: HandOverEnded) -> None:
        """Tell the operator whether the desk joined the conversation."""
        case = await self._escalated(session, event.case_id, event.escalation_id)
        if case is not None:
            await self._note(session, case, "hand_over_ended", event.outcome)
            await emit(session, *self._rules.news(session, case.id))

    async def on_escalation_acknowledged(self, session: AsyncSession, event: EscalationAcknowledged) -> None:
        """Hand the case over: a person at the desk has it."""
        case = await self._escalated(session, event.case_id, event.escalation_id)
        if case is not None:
            await self._rules.apply(
                session,
                case,
                "acknowledged",
                actor=event.by,
                changes={"escalation_status": "acknowledged"},
            )

    async def on_escalation_disposed(self, session: AsyncSession, event: EscalationDisposed) -> None:
        """Close the case with what the desk did."""
        case = await self._escalated(session, event.case_id, event.escalation_id)
        if case is not None:
            await self._rules.apply(
                session,
                case,
                "disposed",
                actor=event.by,
                reason=event.code,
                outcome="handled_by_110",
                changes={"escalation_status": "disposed"},
            )

    async def _escalated(self, session: AsyncSession, case_id: str, escalation_id: str) -> Case | None:
        case = await find_case(session, case_id, for_update=True)
        if case is None or case.escalation_id != escalation_id:
            return None
        if case.status not in OPEN:
            # The requester withdrew in the same moment: the case stays cancelled, the desk's word is kept.
            await self._note(session, case, "desk_answered_late", None)
            return None
        return case

    async def _note(self, session: AsyncSession, case: Case, trigger: str, reason: str | None) -> None:
        await write_history(
            session,
            {
                "case_id": case.id,
                "at": self._rules.clock.now(),
                "actor": "system",
                "trigger": trigger,
                "from_status": case.status,
                "to_status": case.status,
                "reason": reason,
                "note": "",
            },
        )

    def table(self) -> dict[type[Event], Handler]:
        """Return which handler runs for which event."""
        return {
            AttemptChanged: Together(self.on_attempts_changed),
            ContactConcluded: Together(self.on_contacts_concluded),
            RecordingKept: Together(self.on_recordings_kept),
            CallsPlaced: self.on_calls_placed,
            EscalationRaised: Together(self.on_escalations_raised),
            HandOverEnded: self.on_hand_over_ended,
            EscalationReminded: self.on_escalation_reminded,
            EscalationAcknowledged: self.on_escalation_acknowledged,
            EscalationDisposed: self.on_escalation_disposed,
        }


def _once_a_case(events: Sequence[ContactConcluded]) -> Iterator[dict[str, ContactConcluded]]:
    """Cut the sequence where a case comes again: each part has a case at most once."""
    part: dict[str, ContactConcluded] = {}
    for event in events:
        if event.case_id in part:
            yield part
            part = {}
        part[event.case_id] = event
    yield part
