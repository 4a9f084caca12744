"""Every message between the services: frozen, versioned, with personal data sealed (E3).

A field ending in ``_sealed`` holds text sealed by `crypto.Keys` for the context its docstring names: the
outbox and the streams are stored data, and whoever reads them must not learn an owner's number.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.common.ids import new_id

Service = Literal["movecar", "outbound", "escalation"]

AttemptState = Literal["queued", "dialing", "ringing", "answered", "ended"]
AttemptOutcome = Literal[
    "agreed",
    "disputed",
    "refused",
    "wanted_operator",
    "no_input",
    "hung_up",
    "busy",
    "no_answer",
    "declined",
    "unallocated",
    "congestion",
    "failed",
    "withheld",
    "unknown",
]
"""`withheld`: the guard kept the call back and nobody was rung; the attempt's reason says why (B4)."""
ContactOutcome = Literal[
    "agreed",
    "disputed",
    "refused",
    "wanted_operator",
    "exhausted",
    "no_numbers",
    "withheld",
    "failed",
    "unknown",
]
"""How a contact ended: an owner's answer; every number tried in vain; no number that could be the owner's;
a call that the guard withheld; a fault of ours; or not known, which only a person may resolve (B5)."""

EscalationReason = Literal[
    "dispute",
    "emergency_help",
    "emergency_lane",
    "traffic_violation",
    "owner_uncooperative",
    "authority_questioned",
    "unreachable",
    "vehicle_not_found",
    "registry_unavailable",
]
"""Why a case goes to the 110 desk (C1)."""

CallMode = Literal["notice", "bridge"]


class Event(BaseModel):
    """A fact that happened. `key` orders it: events of one key are handled in the order they were emitted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TYPE: ClassVar[str]
    CONSUMERS: ClassVar[tuple[Service, ...]] = ()
    URGENT: ClassVar[bool] = False
    """Whether somebody waits for what follows from it; what is not urgent travels with others (ADR 11)."""

    event_id: str = Field(default_factory=new_id)
    occurred_at: datetime
    case_id: str

    @classmethod
    def is_urgent(cls, payload: Mapping[str, Any]) -> bool:
        """Tell whether the event of this payload is urgent."""
        return cls.URGENT

    @property
    def key(self) -> str:
        """What the event is about."""
        return self.case_id

    @property
    def places(self) -> int:
        """How many numbers of the log it takes: one for each thing that a reader is told of by itself."""
        return 1


class ContactRequested(Event):
    """Call the owner: numbers in calling order; they and the plate are sealed for `contact:{contact_id}`."""

    TYPE = "contact.requested.v1"
    CONSUMERS = ("outbound",)
    URGENT = True

    contact_id: str
    mode: CallMode
    plate_sealed: str
    numbers_sealed: tuple[str, ...]
    vehicle: str = ""
    """Blind index of the plate: limits per owner count by it (B4)."""
    operator: str = ""
    """Account id of the operator whose case it is: limits per operator count by it (B4)."""
    seat: str = ""
    """Username of that operator, whose seat an owner is connected to (B7)."""


class ContactWithdrawn(Event):
    """Stop: no further try for this contact. A call already up runs to its end."""

    TYPE = "contact.withdrawn.v1"
    CONSUMERS = ("outbound",)
    URGENT = True

    contact_id: str


class MachineCallsDeclined(Event):
    """An owner does not want to be called by a machine: withhold every call to `numbers`, blind indexes (B4).

    `by` is the username of who noted it.
    """

    TYPE = "machine_calls.declined.v1"
    CONSUMERS = ("outbound",)
    URGENT = True

    wish_id: str
    numbers: tuple[str, ...]
    by: str


class MachineCallsAllowed(Event):
    """A supervisor lifted that wish."""

    TYPE = "machine_calls.allowed.v1"
    CONSUMERS = ("outbound",)

    wish_id: str


class AttemptChanged(Event):
    """The whole state of one attempt after a change; a higher `version` supersedes a lower one."""

    TYPE = "attempt.changed.v1"
    CONSUMERS = ("movecar",)

    contact_id: str
    attempt_id: str
    version: int
    number: int
    state: AttemptState
    outcome: AttemptOutcome | None
    script_version: int
    queued_at: datetime
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    reason: str | None = None
    """Why, where the outcome alone does not say: a lowercase code."""
    bridged_at: datetime | None = None
    """When the owner was connected to the operator's seat (B7)."""
    greeting_started_at: datetime | None = None
    """When the greeting was first begun; it may be read a second time, to a silent owner (B2)."""
    greeting_ended_at: datetime | None = None
    """When greeting and menu were last over: a key came, or the time for one was up (not: a hang-up)."""
    pressed: str | None = None
    """The owner's key that decided, one of `0123`; `key` is what the event is ordered by."""
    pressed_at: datetime | None = None


class ContactConcluded(Event):
    """The owner was reached, or will not be; nothing further is tried for this contact."""

    TYPE = "contact.concluded.v1"
    CONSUMERS = ("movecar",)

    contact_id: str
    outcome: ContactOutcome
    reason: str | None = None
    """Of `withheld`: the guard's reason, a lowercase code."""

    @classmethod
    def is_urgent(cls, payload: Mapping[str, Any]) -> bool:
        """Tell whether a person has to act on it now: that an owner comes is only shown."""
        return bool(payload["outcome"] != "agreed")


class RecordingKept(Event):
    """The recording of a call is stored, sealed and verified (B8). It is emitted once for an attempt."""

    TYPE = "recording.kept.v1"
    CONSUMERS = ("movecar",)

    recording_id: str
    attempt_id: str
    operator: str
    """Account id of the operator whose case it is."""
    callee: str
    """Blind index of the number that was called."""
    started_at: datetime
    ended_at: datetime
    seconds: float
    """Length of the sound."""
    size: int
    sha256: str
    """Of the plain file, in hexadecimal."""
    format: str
    path: str
    """Where it is below the directory of recordings."""
    fault: str | None = None
    """What is wrong with the sound, where something is: a lowercase code."""


class PlacedCall(BaseModel):
    """One call that was placed, for the case that is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt_id: str
    case_id: str
    dialed_at: datetime


class CallsPlaced(Event):
    """These calls were placed for these cases: who owns the cases says which of them do not exist (B4).

    The event's own `case_id` is empty.
    """

    TYPE = "calls.placed.v1"
    CONSUMERS = ("movecar",)

    case_id: str = ""
    calls: tuple[PlacedCall, ...]

    @property
    def key(self) -> str:
        return self.event_id


class CallsDisowned(Event):
    """There is no case that these calls could have been placed for (B4). `case_id` is empty."""

    TYPE = "calls.disowned.v1"
    CONSUMERS = ("outbound",)

    case_id: str = ""
    calls: tuple[PlacedCall, ...]

    @property
    def key(self) -> str:
        return self.event_id


class CaseEscalated(Event):
    """The 110 desk must act. `details_sealed` is JSON sealed for `escalation:{escalation_id}`."""

    TYPE = "case.escalated.v1"
    CONSUMERS = ("escalation",)
    URGENT = True

    escalation_id: str
    reason: EscalationReason
    details_sealed: str


class CaseWithdrawn(Event):
    """The requester withdrew: the desk need not act on this escalation any more."""

    TYPE = "case.withdrawn.v1"
    CONSUMERS = ("escalation",)
    URGENT = True

    escalation_id: str


class HandOverAsked(Event):
    """Call the desk's line into the conversation of an attempt: owner and operator are talking (C2)."""

    TYPE = "hand_over.asked.v1"
    CONSUMERS = ("escalation",)
    URGENT = True

    escalation_id: str
    attempt_id: str


class HandOverEnded(Event):
    """What came of calling the desk into a conversation; all but `acknowledged` left it as it was."""

    TYPE = "hand_over.ended.v1"
    CONSUMERS = ("movecar",)
    URGENT = True

    escalation_id: str
    outcome: Literal["acknowledged", "not_confirmed", "busy", "no_answer", "failed", "unknown"]


class EscalationRaised(Event):
    """The escalation has its place in the desk's feed."""

    TYPE = "escalation.raised.v1"
    CONSUMERS = ("movecar",)

    escalation_id: str
    seq: int


class CaseDetailsChanged(Event):
    """What the desk knows of an escalated case has changed; `details_sealed` is as in `CaseEscalated`."""

    TYPE = "case.details_changed.v1"
    CONSUMERS = ("escalation",)

    escalation_id: str
    details_sealed: str


class EscalationReminded(Event):
    """Nobody acknowledged, or nobody disposed, in time: `step` is what was done about it (C3)."""

    TYPE = "escalation.reminded.v1"
    CONSUMERS = ("movecar", "escalation")

    escalation_id: str
    step: Literal["remind", "call", "supervisor", "raise_again"]


class EscalationAcknowledged(Event):
    """A person at the desk has taken the escalation over."""

    TYPE = "escalation.acknowledged.v1"
    CONSUMERS = ("movecar", "escalation")

    escalation_id: str
    by: str


class EscalationDisposed(Event):
    """The desk has dealt with the case; `code` says how."""

    TYPE = "escalation.disposed.v1"
    CONSUMERS = ("movecar", "escalation")

    escalation_id: str
    code: str
    by: str


class CasesChanged(Event):
    """Cases changed in one transaction; the consoles' live stream reads these from the log, nobody else.

    They show a case as it is when they are read; what earlier versions wrote into it is left out. Those named
    one case, in `case_id`.
    """

    TYPE = "case.changed.v1"

    model_config = ConfigDict(frozen=True, extra="ignore")

    case_id: str = ""
    case_ids: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases, in the order in which readers are told of them."""
        return self.case_ids or (self.case_id,)

    @property
    def key(self) -> str:
        return self.event_id

    @property
    def places(self) -> int:
        return len(self.cases)


class IncidentOpened(Event):
    """Something that must not be, or must not last, was found; a person has to look at it (B4).

    `kind` and `subject` are lowercase codes and ids, never personal data; `case_id` is empty where the
    incident is about no case.
    """

    TYPE = "incident.opened.v1"
    CONSUMERS = ("escalation",)

    case_id: str = ""
    incident_id: str
    kind: str
    subject: str

    @property
    def key(self) -> str:
        return self.incident_id


class IncidentClosed(Event):
    """An incident is over, by itself or because a person said so."""

    TYPE = "incident.closed.v1"
    CONSUMERS = ("escalation",)

    case_id: str = ""
    incident_id: str
    kind: str
    subject: str

    @property
    def key(self) -> str:
        return self.incident_id


class SessionEnded(Event):
    """A person logged out; a token of this session is refused everywhere from now on.

    `case_id` is empty: the event is about no case.
    """

    TYPE = "session.ended.v1"
    CONSUMERS = ("outbound", "escalation")
    URGENT = True

    case_id: str = ""
    session_id: str
    expires_at: datetime

    @property
    def key(self) -> str:
        return self.session_id


ALL: dict[str, type[Event]] = {
    event.TYPE: event
    for event in (
        ContactRequested,
        ContactWithdrawn,
        MachineCallsDeclined,
        MachineCallsAllowed,
        AttemptChanged,
        ContactConcluded,
        RecordingKept,
        CallsPlaced,
        CallsDisowned,
        CaseEscalated,
        CaseWithdrawn,
        CaseDetailsChanged,
        HandOverAsked,
        HandOverEnded,
        EscalationRaised,
        EscalationReminded,
        EscalationAcknowledged,
        EscalationDisposed,
        CasesChanged,
        IncidentOpened,
        IncidentClosed,
        SessionEnded,
    )
}


def decode(event_type: str, payload: dict[str, Any]) -> Event:
    """Return the event of a stored payload. Raises KeyError or pydantic's ValidationError when it is none."""
    return ALL[event_type].model_validate(payload)
