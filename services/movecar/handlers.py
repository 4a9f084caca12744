"""What the other services report and what it does to cases: read the table at the end first."""

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Handler, emit
from services.common.events import (
    AttemptChanged,
    ContactConcluded,
    EscalationAcknowledged,
    EscalationDisposed,
    EscalationRaised,
    Event,
)
from services.movecar.cases.machine import (
    CONTACT_ATTENTION,
    CONTACT_TRIGGERS,
    ESCALATION_OF_TRIGGER,
    OPEN,
)
from services.movecar.cases.models import Case, CaseAttempt, CaseHistory
from services.movecar.cases.transitions import CaseRules, find_case


class Reports:
    """Handlers of the events movecar consumes."""

    def __init__(self, rules: CaseRules) -> None:
        self._rules = rules

    async def on_attempt_changed(self, session: AsyncSession, event: AttemptChanged) -> None:
        """Keep the newest state of a call; an older one that comes late changes nothing."""
        values = event.model_dump(
            include={
                "case_id",
                "contact_id",
                "version",
                "number",
                "state",
                "outcome",
                "script_version",
                "queued_at",
                "dialed_at",
                "answered_at",
                "ended_at",
            }
        )
        make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        statement = make(CaseAttempt).values(id=event.attempt_id, **values)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=[CaseAttempt.id],
                set_={name: statement.excluded[name] for name in values},
                where=CaseAttempt.version < statement.excluded.version,
            )
        )
        row = (
            await session.execute(select(Case.status, Case.escalation_id).where(Case.id == event.case_id))
        ).first()
        if row is not None:
            await emit(session, self._rules.changed_to(event.case_id, row.status, row.escalation_id))

    async def on_contact_concluded(self, session: AsyncSession, event: ContactConcluded) -> None:
        """Move the case by what became of calling the owner."""
        case = await find_case(session, event.case_id, for_update=True)
        if case is None or case.status != "calling" or case.contact_id != event.contact_id:
            # Withdrawn or escalated by hand meanwhile, or a newer contact is running: the news is kept for
            # the file and moves nothing.
            if case is not None:
                await self._note(session, case, "contact_concluded_late", event.outcome)
            return
        trigger = CONTACT_TRIGGERS[event.outcome]
        await self._rules.apply(
            session,
            case,
            trigger,
            reason=event.outcome,
            attention=CONTACT_ATTENTION.get(event.outcome),
            escalation=ESCALATION_OF_TRIGGER.get(trigger),
        )

    async def on_escalation_raised(self, session: AsyncSession, event: EscalationRaised) -> None:
        """Show the operator the place in the desk's feed."""
        await session.execute(
            update(Case)
            .where(Case.escalation_id == event.escalation_id)
            .values(escalation_seq=event.seq)
            .execution_options(synchronize_session=False)
        )
        case = await find_case(session, event.case_id)
        if case is not None:
            await emit(session, self._rules.changed(case, self._rules.clock.now()))

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
        await session.execute(
            insert(CaseHistory).values(
                case_id=case.id,
                at=self._rules.clock.now(),
                actor="system",
                trigger=trigger,
                from_status=case.status,
                to_status=case.status,
                reason=reason,
                note="",
            )
        )

    def table(self) -> dict[type[Event], Handler]:
        """Return which handler runs for which event."""
        return {
            AttemptChanged: self.on_attempt_changed,
            ContactConcluded: self.on_contact_concluded,
            EscalationRaised: self.on_escalation_raised,
            EscalationAcknowledged: self.on_escalation_acknowledged,
            EscalationDisposed: self.on_escalation_disposed,
        }
