"""Whether a call may be placed now: one pure decision, from what was dialled before (B4)."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Self

from services.common.call_rules import CallLimits, Hours, Window, windows_of

Reason = Literal[
    "owner_declined_machine",
    "outside_calling_hours",
    "number_limit",
    "owner_limit",
    "operator_limit",
    "service_limit",
]
"""Why a call is withheld. The values are codes of the API and are never renamed."""

Counted = Literal["operator", "trunk", "service"]
"""What is limited by a count alone; numbers and owners are limited by the calls themselves."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that is due. Numbers and vehicle are blind indexes."""

    callee: str
    callees: frozenset[str]
    """Every number of the contact."""
    vehicle: str
    """Empty where it is not known; the numbers tell the owner then."""
    operator: str
    trunk: str
    moved: bool = False
    """Offered to another trunk after it rang nobody."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that was placed, or may have been."""

    id: str
    at: datetime
    callee: str
    vehicle: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls within one window, and when the first of them was dialled."""

    calls: int = 0
    first: datetime | None = None


@dataclass(slots=True)
class Past:
    """What was dialled, as far as it can matter to the candidates at hand."""

    by_callee: dict[str, list[Dialled]] = field(default_factory=lambda: defaultdict(list))
    by_vehicle: dict[str, list[Dialled]] = field(default_factory=lambda: defaultdict(list))
    tallies: dict[tuple[Counted, int, str], Tally] = field(default_factory=dict)
    """By what is counted, the window's place in its limit, and whose it is."""
    declined: set[str] = field(default_factory=set)
    """Numbers of owners who do not want to be called by a machine."""

    def add(self, call: Dialled) -> None:
        """Take in a call, once."""
        self.by_callee[call.callee].append(call)
        if call.vehicle:
            self.by_vehicle[call.vehicle].append(call)

    def place(self, candidate: Candidate, rules: "Rules", call_id: str, now: datetime) -> None:
        """Count a call that is placed now, for the candidates that come after it."""
        self.add(Dialled(call_id, now, candidate.callee, candidate.vehicle))
        for kind, key, windows in rules.counted(candidate):
            for place in range(len(windows)):
                tally = self.tallies.get((kind, place, key), Tally())
                self.tallies[kind, place, key] = Tally(tally.calls + 1, tally.first or now)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed."""

    number: tuple[Window, ...] = ()
    owner: tuple[Window, ...] = ()
    operator: tuple[Window, ...] = ()
    trunk: tuple[Window, ...] = ()
    service: tuple[Window, ...] = ()
    hours: Hours | None = None

    @classmethod
    def of(cls, limits: CallLimits, hours: Hours | None) -> Self:
        """Return the rules of an installation's settings."""
        windows = {name: windows_of(spans) for name, spans in limits.model_dump().items()}
        return cls(**windows, hours=hours)

    @property
    def limit_anything(self) -> bool:
        """Whether calls have to be counted at all."""
        return bool(self.number or self.owner or self.operator or self.trunk or self.service)

    def counted(self, candidate: Candidate) -> tuple[tuple[Counted, str, tuple[Window, ...]], ...]:
        """What a candidate counts towards, whose, and the windows of it."""
        return (
            ("operator", candidate.operator, self.operator),
            ("trunk", candidate.trunk, self.trunk),
            ("service", "", self.service),
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may be placed."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nobody is rung; a person decides what to do."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """The call stays in the queue: its trunk is full until then."""

    until: datetime


Verdict = Allowed | Withheld | Wait
_ALLOWED: Final = Allowed()


def judge(candidate: Candidate, past: Past, rules: Rules, now: datetime) -> Verdict:
    """Decide about one call. The owner's wish comes first, then the hour, then limits, the narrowest first.

    A window that ends now must not come to hold more than its calls with this one. A full trunk is no
    reason to withhold: the call waits for its turn.
    """
    if not past.declined.isdisjoint(candidate.callees):
        return Withheld("owner_declined_machine")
    if rules.hours is not None and not rules.hours.include(now):
        return Withheld("outside_calling_hours")
    # A call that is offered to another trunk was counted when it was placed first, and rang nobody.
    if not candidate.moved and _is_full(past.by_callee.get(candidate.callee, ()), rules.number, now):
        return Withheld("number_limit")
    if rules.owner and not candidate.moved and _is_full(_to_owner(candidate, past), rules.owner, now):
        return Withheld("owner_limit")
    if _full(past, "operator", candidate.operator, rules.operator):
        return Withheld("operator_limit")
    if _full(past, "service", "", rules.service):
        return Withheld("service_limit")
    free_at = [
        (tally.first or now) + window.length
        for window, tally in _full(past, "trunk", candidate.trunk, rules.trunk)
    ]
    return Wait(max(free_at)) if free_at else _ALLOWED


def _to_owner(candidate: Candidate, past: Past) -> Collection[Dialled]:
    calls = {call.id: call for callee in candidate.callees for call in past.by_callee.get(callee, ())}
    if candidate.vehicle:
        calls |= {call.id: call for call in past.by_vehicle.get(candidate.vehicle, ())}
    return calls.values()


def _full(past: Past, kind: Counted, key: str, windows: Sequence[Window]) -> list[tuple[Window, Tally]]:
    tallies = [past.tallies.get((kind, place, key), Tally()) for place in range(len(windows))]
    return [
        (window, tally) for window, tally in zip(windows, tallies, strict=True) if tally.calls >= window.calls
    ]


def _is_full(calls: Collection[Dialled], windows: Sequence[Window], now: datetime) -> bool:
    return any(sum(call.at > now - window.length for call in calls) >= window.calls for window in windows)
