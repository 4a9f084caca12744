"""What the escalation service does about each event."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Handler, Together
from services.common.events import (
    CaseDetailsChanged,
    CaseEscalated,
    CaseWithdrawn,
    EscalationAcknowledged,
    EscalationDisposed,
    EscalationReminded,
    Event,
    HandOverAsked,
    IncidentClosed,
    IncidentOpened,
    SessionEnded,
)
from services.common.http.ended_sessions import EndedSessions
from services.escalation.desk_calls.queue import DeskCalls
from services.escalation.escalations import Escalations
from services.escalation.faults.incidents import Incidents
from services.escalation.faults.unanswered import Unanswered
from services.escalation.models import Escalation


class Handlers:
    """Handlers with what they need; `table` is the behaviour at a glance."""

    def __init__(
        self,
        escalations: Escalations,
        calls: DeskCalls,
        sessions: EndedSessions,
        incidents: Incidents,
        unanswered: Unanswered,
    ) -> None:
        self._escalations = escalations
        self._calls = calls
        self._incidents = incidents
        self._sessions = sessions
        self._unanswered = unanswered
        self.table: Mapping[type[Event], Handler] = {
            CaseEscalated: Together(self.on_cases_escalated),
            CaseDetailsChanged: self.on_case_details_changed,
            HandOverAsked: self.on_hand_over_asked,
            CaseWithdrawn: self.on_case_withdrawn,
            EscalationReminded: self.on_escalation_reminded,
            EscalationAcknowledged: self.on_escalation_taken,
            EscalationDisposed: self.on_escalation_taken,
            SessionEnded: self.on_session_ended,
            IncidentOpened: self.on_incident_opened,
            IncidentClosed: self.on_incident_closed,
        }

    async def on_cases_escalated(self, session: AsyncSession, events: Sequence[CaseEscalated]) -> None:
        await self._escalations.raise_for_cases(session, events)

    async def on_case_details_changed(self, session: AsyncSession, event: CaseDetailsChanged) -> None:
        await self._escalations.update(session, event)

    async def on_hand_over_asked(self, session: AsyncSession, event: HandOverAsked) -> None:
        row = await self._escalations.load(session, event.escalation_id)
        await self._calls.ask_to_join(session, row, event.attempt_id)

    async def on_case_withdrawn(self, session: AsyncSession, event: CaseWithdrawn) -> None:
        """Withdraw it. One never raised here becomes a dead letter, to be replayed after its raising."""
        await self._escalations.withdraw(session, event.escalation_id)
        await self._no_longer_waits(session, event)

    async def on_escalation_reminded(self, session: AsyncSession, event: EscalationReminded) -> None:
        """Tell the supervisor when that is the step. Not of one that somebody has taken meanwhile."""
        row = await session.get(Escalation, event.escalation_id)
        if event.step == "supervisor" and row is not None:
            await self._unanswered.tell(row, event.occurred_at)

    async def on_escalation_taken(
        self, session: AsyncSession, event: EscalationAcknowledged | EscalationDisposed
    ) -> None:
        await self._no_longer_waits(session, event)

    async def _no_longer_waits(
        self, session: AsyncSession, event: EscalationAcknowledged | EscalationDisposed | CaseWithdrawn
    ) -> None:
        row = await session.get(Escalation, event.escalation_id)
        if row is not None:
            await self._unanswered.over(row, event.occurred_at)

    async def on_session_ended(self, session: AsyncSession, event: SessionEnded) -> None:
        await self._sessions.note(session, event)

    async def on_incident_opened(self, _: AsyncSession, event: IncidentOpened) -> None:
        """Tell the supervisor; incidents of one kind are one fault."""
        await self._incidents.opened(event.incident_id, event.kind, event.subject, event.occurred_at)

    async def on_incident_closed(self, _: AsyncSession, event: IncidentClosed) -> None:
        await self._incidents.closed(event.incident_id, event.occurred_at)
