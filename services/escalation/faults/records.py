"""What the journal keeps: parts and their last good moment, faults, duties, deliveries, incidents, plans.

Records are values: a change is a new record of the same id, of which the journal keeps the last.
Moments are UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FaultState = Literal["open", "recovered"]
DutyKind = Literal["fault", "recovery", "overrun", "announcement", "alarm_10", "alarm_20"]
DutyState = Literal["pending", "late", "kept", "kept_late", "void"]
UNKEPT: frozenset[DutyState] = frozenset({"pending", "late"})
"""States of a duty that nobody has been told of."""
DeliveryState = Literal["pending", "delivered", "superseded"]
Audience = Literal["desk", "supervisor", "drill"]
Source = Literal["probe", "person", "incident", "gap"]


@dataclass(frozen=True, slots=True)
class Component:
    """What is known of a watched part.

    `good_at` is the last moment known good. During a fault `bad_at` is the last moment known bad, and
    `good_since` since when it is good again.
    `flaps` counts how often it broke again soon after a recovery: each doubles how long the next must last.
    """

    id: str
    good_at: datetime
    bad_at: datetime | None = None
    good_since: datetime | None = None
    flaps: int = 0
    recovered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A part that was down. `began_at` is the last moment known good, so a slow detector never buys time.

    `audiences` are who is told, comma-separated; `lost` is what the outage cost, as far as can be known.
    `machine` is which machine of a pair found it; empty where there is one.
    """

    id: str
    component: str
    reason: str
    began_at: datetime
    detected_at: datetime
    source: Source
    audiences: str
    opened_by: str = ""
    downtime: bool = True
    planned: bool = False
    drill: bool = False
    planned_until: datetime | None = None
    state: FaultState = "open"
    recovered_at: datetime | None = None
    lost: str = ""
    flaps: int = 0
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Duty:
    """A notice somebody is owed about a fault or a maintenance (`subject`), due 30 minutes after `since`.

    It is kept once one channel has proof; `kept_by` names it.
    """

    id: str
    subject: str
    kind: DutyKind
    audience: Audience
    since: datetime
    due_at: datetime
    state: DutyState = "pending"
    kept_at: datetime | None = None
    kept_by: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on one channel, and afterwards the proof: who took it, when, what was answered.

    `tries` is raised before a try begins; `next_try_at` is when it may be tried (again). Of two machines
    `machine` is the one with the first proof, and `copies` how many of them have one.
    """

    id: str
    duty: str
    channel: str
    next_try_at: datetime
    tries: int = 0
    state: DeliveryState = "pending"
    delivered_at: datetime | None = None
    proof: str = ""
    by: str = ""
    error: str = ""
    machine: str = ""
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """An incident of the caller's own checks, found at `at` and counted to a fault; its id is the incident's.

    `fault` is empty for one whose end was heard of and whose beginning was not (yet).
    """

    id: str
    fault: str
    at: datetime
    open: bool = True


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Planned work on a part, announced ahead; a fault inside it is still recorded, as planned."""

    id: str
    component: str
    begins_at: datetime
    ends_at: datetime
    note: str
    announced_by: str
    announced_at: datetime


@dataclass(frozen=True, slots=True)
class Beat:
    """The watcher's own last sign of life; what lies between it and the next start is a fault of its own."""

    id: str
    at: datetime


Record = Component | Fault | Duty | Delivery | Finding | Maintenance | Beat
KINDS: tuple[type[Record], ...] = (
    Component,
    Fault,
    Duty,
    Delivery,
    Finding,
    Maintenance,
    Beat,
)
