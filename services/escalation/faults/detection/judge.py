"""Whether a part is down: one pure decision with a named reason (C4)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.escalation.faults.records import Component

CALM = timedelta(seconds=5)
"""How long a part must be good again before it counts as recovered; doubled by each flap."""
LONGEST_CALM = timedelta(minutes=10)
"""No recovery waits longer than this: 20 of its 30 minutes are always left."""
FLAP_WINDOW = timedelta(minutes=30)
"""Broken again this soon after a recovery is a flap; good for as long, and flaps are forgotten."""

Health = Literal["good", "bad", "unknown"]
Finding = Literal[
    "good", "bad_for_a_moment", "fault_opened", "fault_lasts", "good_for_a_moment", "recovered", "unknown"
]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe found. `unknown`: it could not look, which says nothing of the part."""

    health: Health
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a reading, and the part as it is known from now on."""

    finding: Finding
    component: Component


def judge(
    component: Component,
    reading: Reading,
    now: datetime,
    *,
    down: bool,
    watching_since: datetime,
    fault_after: timedelta,
) -> Judgement:
    """Judge a part by one reading. `down`: its fault is open. `watching_since`: when this watcher started.

    A part may be bad for `fault_after` before a fault opens; after a start of the watcher itself as long
    again, so that parts started with it have time to come up. Neither moves `began_at`.
    """
    if reading.health == "unknown":
        return Judgement("unknown", component)
    if reading.health == "bad":
        if down:
            return Judgement("fault_lasts", replace(component, bad_at=now, good_since=None))
        if now - max(component.good_at, watching_since) >= fault_after:
            found = replace(component, bad_at=now, good_since=None, flaps=_flaps(component))
            return Judgement("fault_opened", found)
        return Judgement("bad_for_a_moment", component)
    if not down:
        known = component  # spelt out: this is what nearly every look at every part finds
        return Judgement(
            "good", Component(known.id, now, known.bad_at, None, known.flaps, known.recovered_at)
        )
    since = component.good_since or now
    if _calm_enough(component, since, now):
        return Judgement("recovered", replace(component, good_at=now, good_since=None, recovered_at=since))
    return Judgement("good_for_a_moment", replace(component, good_since=since))


def calm(flaps: int) -> timedelta:
    """Return how long a part that flapped so often must be good before it counts as recovered."""
    return min(CALM * (1 << min(flaps, 10)), LONGEST_CALM)


def _calm_enough(component: Component, since: datetime, now: datetime) -> bool:
    """Tell whether it is good for good: nobody looked for a while, and it may have been good all the time."""
    if now - since >= calm(component.flaps):
        return True
    unseen_for = now - (component.bad_at or since)
    return unseen_for >= LONGEST_CALM and now - since >= CALM


def calmed(component: Component, good_at: datetime) -> bool:
    """Tell whether a part that was good until then has been so for long enough to forget its flaps."""
    recovered = component.recovered_at
    return recovered is None or good_at - recovered >= FLAP_WINDOW


def _flaps(component: Component) -> int:
    return 0 if calmed(component, component.good_at) else component.flaps + 1
