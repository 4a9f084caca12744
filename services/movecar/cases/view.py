"""A case as the API shows it. The owner is masked for every role; the requester for those who only read."""

from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.events import AttemptOutcome, AttemptState, CallMode, EscalationReason
from services.common.http.auth import Role
from services.common.http.times import Moment
from services.common.phones import mask_phone
from services.movecar.cases.machine import AttentionReason, EscalationStatus, Outcome, Status
from services.movecar.cases.models import Case, CaseAttempt
from services.movecar.cases.transitions import CaseRules
from services.movecar.recordings.models import Recording

_SEES_REQUESTER: frozenset[Role] = frozenset({"operator", "supervisor", "desk"})


class Owner(BaseModel):
    """The owner as far as anyone may see; both are null until the vehicle is found."""

    name: str | None
    phone: str | None


class AttemptView(BaseModel):
    """One call to the owner."""

    id: str
    number: int
    state: AttemptState
    outcome: AttemptOutcome | None
    script_version: int
    queued_at: Moment
    dialed_at: Moment | None
    answered_at: Moment | None
    ended_at: Moment | None
    reason: str | None
    bridged_at: Moment | None
    greeting_started_at: Moment | None
    greeting_ended_at: Moment | None
    key: str | None
    key_at: Moment | None
    recording_id: str | None


class EscalationView(BaseModel):
    """The case's place at the 110 desk; `seq` is null until it is in the feed."""

    id: str
    seq: int | None
    reason: EscalationReason
    status: EscalationStatus


class CaseView(BaseModel):
    """A case."""

    id: str
    number: str
    status: Status
    outcome: Outcome | None
    attention_reason: AttentionReason | None
    plate: str
    plate_color: str | None
    location: str
    situation: str
    note: str
    mode: CallMode
    requester_phone: str
    owner: Owner
    attempts: list[AttemptView]
    escalation: EscalationView | None
    operator: str
    created_at: Moment
    updated_at: Moment
    deadline_at: Moment | None


class OpenedCase(CaseView):
    """The answer to opening a case; `joined` says it was open already."""

    joined: bool


async def show(session: AsyncSession, rules: CaseRules, cases: Sequence[Case], role: Role) -> list[CaseView]:
    """Return cases as a role may see them, in the order given."""
    attempts: dict[str, list[AttemptView]] = {case.id: [] for case in cases}
    if cases:
        rows = await session.execute(
            select(CaseAttempt, Recording.id)
            .outerjoin(Recording, Recording.attempt_id == CaseAttempt.id)
            .where(CaseAttempt.case_id.in_(attempts))
            .order_by(CaseAttempt.queued_at, CaseAttempt.id)
        )
        for row, recording_id in rows:
            attempts[row.case_id].append(_attempt(row, recording_id))
    return [_show(rules, case, attempts[case.id], role) for case in cases]


def show_new(rules: CaseRules, case: Case, role: Role) -> CaseView:
    """Return a case that was opened in this transaction, and so was never called about."""
    return _show(rules, case, [], role)


def masked(view: CaseView) -> CaseView:
    """Return a case as those may see it who call nobody back."""
    return view.model_copy(update={"requester_phone": mask_phone(view.requester_phone)})


def _attempt(row: CaseAttempt, recording_id: str | None) -> AttemptView:
    return AttemptView.model_construct(
        id=row.id,
        number=row.number,
        state=row.state,
        outcome=row.outcome,
        script_version=row.script_version,
        queued_at=row.queued_at,
        dialed_at=row.dialed_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        reason=row.reason,
        bridged_at=row.bridged_at,
        greeting_started_at=row.greeting_started_at,
        greeting_ended_at=row.greeting_ended_at,
        key=row.pressed,
        key_at=row.pressed_at,
        recording_id=recording_id,
    )


def _show(rules: CaseRules, case: Case, attempts: list[AttemptView], role: Role) -> CaseView:
    view = CaseView.model_construct(
        id=case.id,
        number=case.number,
        status=case.status,
        outcome=case.outcome,
        attention_reason=case.attention_reason,
        plate=rules.plate(case),
        plate_color=case.plate_color,
        location=case.location,
        situation=case.situation,
        note=case.note,
        mode=case.mode,
        requester_phone=rules.requester(case),
        owner=Owner(name=case.owner_name_masked, phone=case.owner_phone_masked),
        attempts=attempts,
        escalation=EscalationView.model_construct(
            id=case.escalation_id,
            seq=case.escalation_seq,
            reason=case.escalation_reason,
            status=case.escalation_status,
        )
        if case.escalation_id and case.escalation_reason and case.escalation_status
        else None,
        operator=case.operator,
        created_at=case.created_at,
        updated_at=case.updated_at,
        deadline_at=case.deadline_at,
    )
    return view if role in _SEES_REQUESTER else masked(view)
