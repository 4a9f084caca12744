"""What people send and read about faults: the documents of `/faults`."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from services.common.http.endpoint import Body
from services.common.http.paging import Cursor, Limit
from services.common.http.times import Moment
from services.common.text import Line, Note, Token
from services.escalation.faults.pair.messages import Role
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.parts import part
from services.escalation.faults.records import (
    Audience,
    Delivery,
    Duty,
    DutyKind,
    Fault,
    FaultState,
    Maintenance,
    Source,
)

NoticeStatus = Literal["pending", "late", "delivered", "delivered_late", "superseded", "void"]
MAX_PAST = timedelta(days=30)


class FaultAnswer(BaseModel):
    """A fault. `seconds` is how long it lasted; null while it lasts."""

    id: str
    component: str
    title: str
    reason: str
    status: FaultState
    downtime: bool
    planned: bool
    drill: bool
    source: Source
    opened_by: str
    began_at: Moment = Field(description="Last moment known good")
    detected_at: Moment
    recovered_at: Moment | None = Field(description="First moment good again")
    seconds: float | None
    flaps: int
    lost: str


class FaultPage(BaseModel):
    """Faults, newest first; `next` is the cursor of the next page, null on the last one."""

    items: list[FaultAnswer]
    next: str | None


class NoticeAnswer(BaseModel):
    """A notice on one channel; `channel` is null while none has been tried."""

    id: str
    kind: DutyKind
    audience: Audience
    channel: str | None
    status: NoticeStatus
    since: Moment = Field(description="From when its time runs")
    due_at: Moment
    delivered_at: Moment | None
    by: str = Field(description="Who took it, or who gave it")
    proof: str
    tries: int
    error: str
    machine: str = Field(description="Of a pair, the machine with the first proof; empty where there is one")
    copies: int = Field(description="How many machines have a proof: 2 is a notice given twice")


class NoticePage(BaseModel):
    """All notices of a fault."""

    items: list[NoticeAnswer]


class PairAnswer(BaseModel):
    """The two machines that tell the desk, seen from the one that answers."""

    role: Role | None = Field(description="This machine's; null where there is no other machine")
    delivers: bool = Field(description="Whether this machine gives notices now, or leaves them to the other")
    heard: bool = Field(description="Whether the other machine has said something lately")
    heard_seconds_ago: float | None
    other_role: Role | None
    other_well: bool | None = Field(description="Whether it says that it looks and delivers")
    trouble: str = Field(description="Why it is not heard; empty while it is")


class MaintenanceAnswer(BaseModel):
    """Planned work on a part."""

    id: str
    component: str
    title: str
    begins_at: Moment
    ends_at: Moment
    note: str
    announced_by: str
    announced_at: Moment


class MaintenancePage(BaseModel):
    """Planned work that is not over."""

    items: list[MaintenanceAnswer]


class FaultsQuery(Body):
    """Which faults to list."""

    component: Token | None = None
    status: FaultState | None = None
    drill: bool | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class OpenFault(Body):
    """Record a fault that a person found."""

    component: Token = Field(description="A part's code, or one of your own")
    reason: Line
    began_at: AwareDatetime | None = Field(default=None, description="Last moment known good; default: now")


class GiveNotice(Body):
    """Record a notice that a person gave, e.g. by telephone."""

    channel: Token = Field(examples=["phone"])
    note: Annotated[Line, Field(description="Who was told, when, and what was said")]


class PlanMaintenance(Body):
    """Announce planned work ahead."""

    component: Token
    begins_at: AwareDatetime = Field(alias="from")
    ends_at: AwareDatetime = Field(alias="to")
    note: Note = ""


class RunDrill(Body):
    """Rehearse a fault; `real` sends to the desk and the supervisor themselves, marked as a drill."""

    component: Token
    real: bool = False


def fault_answer(fault: Fault) -> FaultAnswer:
    """Return a fault as the API shows it."""
    ended = fault.recovered_at
    return FaultAnswer(
        id=fault.id,
        component=fault.component,
        title=part(fault.component).title,
        reason=fault.reason,
        status=fault.state,
        downtime=fault.downtime,
        planned=fault.planned,
        drill=fault.drill,
        source=fault.source,
        opened_by=fault.opened_by,
        began_at=fault.began_at,
        detected_at=fault.detected_at,
        recovered_at=ended,
        seconds=None if ended is None else (ended - fault.began_at).total_seconds(),
        flaps=fault.flaps,
        lost=fault.lost,
    )


def pair_answer(pair: Pair | None) -> PairAnswer:
    """Return how the two machines stand."""
    if pair is None:
        return PairAnswer(
            role=None,
            delivers=True,
            heard=False,
            heard_seconds_ago=None,
            other_role=None,
            other_well=None,
            trouble="",
        )
    other, ago = pair.other, pair.heard_for
    return PairAnswer(
        role=pair.role,
        delivers=not pair.follows,
        heard=pair.heard,
        heard_seconds_ago=None if ago is None else round(ago, 1),
        other_role=None if other is None else other.role,
        other_well=None if other is None else other.well and not other.leaving,
        trouble="" if pair.heard else pair.trouble,
    )


def maintenance_answer(planned: Maintenance) -> MaintenanceAnswer:
    """Return planned work as the API shows it."""
    return MaintenanceAnswer(
        id=planned.id,
        component=planned.component,
        title=part(planned.component).title,
        begins_at=planned.begins_at,
        ends_at=planned.ends_at,
        note=planned.note,
        announced_by=planned.announced_by,
        announced_at=planned.announced_at,
    )


def notice_answers(duty: Duty, deliveries: list[Delivery]) -> list[NoticeAnswer]:
    """Return a duty as the API shows it: one notice for each channel."""
    if not deliveries:
        return [_notice(duty, None)]
    return [_notice(duty, delivery) for delivery in deliveries]


def _notice(duty: Duty, delivery: Delivery | None) -> NoticeAnswer:
    return NoticeAnswer(
        id=delivery.id if delivery else duty.id,
        kind=duty.kind,
        audience=duty.audience,
        channel=delivery.channel if delivery else None,
        status=_status(duty, delivery),
        since=duty.since,
        due_at=duty.due_at,
        delivered_at=delivery.delivered_at if delivery else None,
        by=delivery.by if delivery else "",
        proof=delivery.proof if delivery else "",
        tries=delivery.tries if delivery else 0,
        error=delivery.error if delivery else "",
        machine=delivery.machine if delivery else "",
        copies=delivery.copies if delivery else 0,
    )


def _status(duty: Duty, delivery: Delivery | None) -> NoticeStatus:
    if delivery is not None and delivery.delivered_at is not None:
        return "delivered" if _in_time(delivery.delivered_at, duty) else "delivered_late"
    if delivery is not None and delivery.state == "superseded":
        return "superseded"
    if duty.state == "void":
        return "void"
    return "late" if duty.state in {"late", "kept_late"} else "pending"


def _in_time(moment: datetime, duty: Duty) -> bool:
    return moment <= duty.due_at
