"""What the desk reads and sends: the documents of the feed and of `/escalations`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from services.common.crypto import Keys
from services.common.events import EscalationReason
from services.common.http.endpoint import Body
from services.common.http.times import Moment, rfc3339
from services.common.text import Line, Note, Token
from services.escalation.chain.policy import Priority, Step
from services.escalation.faults.notices import FaultData
from services.escalation.machine import Status

MAX_SEALED_DETAILS = 64 * 1024
"""Longest sealed details accepted, in characters. What movecar lets operators enter stays far below."""

DISPOSITIONS: Mapping[str, str] = {
    "moved": "车辆已移走",
    "towed": "车辆已拖离",
    "penalised": "已依法处罚",
    "settled": "纠纷已调解",
    "false_report": "情况不实",
    "no_action": "无需处置",
    "other": "其他",
}
"""Recommended disposition codes with their wording; the desk may use codes of its own."""

_GivenMoment = Annotated[
    AwareDatetime, PlainSerializer(rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})
]


class DetailsRefused(ValueError):
    """The details of an escalation are larger than anything a case can hold."""


class CallAttempt(BaseModel):
    """One call to the owner. `number` is its ordinal: a small integer, so that no phone number fits in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: Annotated[int, Field(strict=True, ge=0, le=1000)]
    outcome: Token | None = None
    dialed_at: _GivenMoment | None = None
    ended_at: _GivenMoment | None = None
    recording_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


class Details(BaseModel):
    """What the desk must know to act. Only these fields pass: the owner's number has no place here (E2)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    case_number: Annotated[str, Field(max_length=40)] | None = None
    plate: Annotated[str, Field(max_length=20)] | None = None
    plate_color: Annotated[str, Field(max_length=20)] | None = None
    plate_kind: Annotated[str, Field(max_length=20)] | None = None
    location: Annotated[str, Field(max_length=1000)] | None = None
    situation: Annotated[str, Field(max_length=2000)] | None = None
    note: Annotated[str, Field(max_length=4000)] | None = None
    requester_phone: Annotated[str, Field(max_length=32)] | None = None
    operator: Annotated[str, Field(max_length=200)] | None = None
    attempts: Annotated[tuple[CallAttempt, ...], Field(max_length=100)] = ()


class Disposition(BaseModel):
    """How the desk dealt with an escalation."""

    model_config = ConfigDict(frozen=True)

    code: str
    note: str


class EscalationFacts(Details):
    """An escalation as it stands."""

    case_id: str
    reason: EscalationReason
    priority: Priority
    status: Status
    escalated_at: Moment = Field(description="When the case was escalated")
    raised_at: Moment = Field(description="When it got its place in the feed")
    acknowledged_at: Moment | None = None
    acknowledged_by: str | None = Field(default=None, description="Account of the desk")
    officer: str | None = None
    disposed_at: Moment | None = None
    disposed_by: str | None = None
    disposition: Disposition | None = None
    withdrawn_at: Moment | None = None


class Reminder(BaseModel):
    """Why an escalation comes up again: the step that was taken, and how many were (C3)."""

    model_config = ConfigDict(frozen=True)

    step: Step
    times: int


class EscalationData(EscalationFacts):
    """`data` of an `escalation.*` feed item: the escalation as it stood then."""

    escalation_id: str
    reminder: Reminder | None = Field(default=None, description="Of `escalation.reminded` only")


class EscalationAnswer(EscalationFacts):
    """An escalation. `seq` is the number of its `escalation.raised` feed item."""

    id: str
    seq: int


class EscalationPage(BaseModel):
    """Escalations, newest first; `next` is the cursor of the next page, null on the last one."""

    items: list[EscalationAnswer]
    next: str | None


class FeedItemDocument(BaseModel):
    """One feed item; `type` is `escalation.raised`, `.updated`, `.reminded` and so on, or of a fault
    `fault.opened`, `.recovered`, `.overrun`, `.announced`."""

    seq: int
    type: str
    id: str
    occurred_at: Moment
    data: EscalationData | FaultData | None = Field(description="Null only when the stored item is damaged")


class FeedPage(BaseModel):
    """Items in order; `next` is what to give as `after` to go on."""

    items: list[FeedItemDocument]
    next: int


class Acknowledge(Body):
    """Take an escalation over."""

    officer: Line | None = Field(default=None, description="Name or number of the officer in charge")


class Dispose(Body):
    """Close an escalation."""

    code: Token = Field(description="Recommended: " + ", ".join(DISPOSITIONS), examples=list(DISPOSITIONS))
    note: Note = ""


def open_details(keys: Keys, escalation_id: str, sealed: str) -> Details:
    """Return the details of an escalation.

    Raises DetailsRefused or pydantic's ValidationError when they are too large or not what was agreed, and
    crypto.SealBroken when they were not sealed by us for this escalation.
    """
    if len(sealed) > MAX_SEALED_DETAILS:
        raise DetailsRefused(f"{len(sealed)} characters of details, at most {MAX_SEALED_DETAILS} are taken")
    return Details.model_validate_json(keys.open(sealed, f"escalation:{escalation_id}"))


def facts(keys: Keys, row: Any) -> dict[str, Any]:
    """Return the fields of EscalationFacts from a row of `escalations`, personal data opened."""
    disposition = None
    if row.disposition_code is not None:
        note = _open(keys, row.disposition_note_sealed, f"escalation:{row.id}:disposition_note")
        disposition = Disposition(code=row.disposition_code, note=note or "")
    return {
        **dict(open_details(keys, row.id, row.details_sealed)),
        "case_id": row.case_id,
        "reason": row.reason,
        "priority": row.priority,
        "status": row.status,
        "escalated_at": row.escalated_at,
        "raised_at": row.raised_at,
        "acknowledged_at": row.acknowledged_at,
        "acknowledged_by": row.acknowledged_by,
        "officer": _open(keys, row.officer_sealed, f"escalation:{row.id}:officer"),
        "disposed_at": row.disposed_at,
        "disposed_by": row.disposed_by,
        "disposition": disposition,
        "withdrawn_at": row.withdrawn_at,
    }


def _open(keys: Keys, sealed: str | None, context: str) -> str | None:
    return None if sealed is None else keys.open(sealed, context)
