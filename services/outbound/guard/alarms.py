"""When calls look as if nobody honest made them: pure thresholds over an hour's figures (B4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.common.call_rules import CallAlarms

KINDS = ("night_spike", "call_spike", "toll_fraud")
"""Kinds of incidents that are opened and closed here."""


@dataclass(frozen=True, slots=True)
class OperatorHour:
    """What was dialled in the last hour for one operator's cases."""

    operator: str
    calls: int
    numbers: int
    """How many different numbers."""
    unallocated: int
    """How many calls found that the number does not exist."""
    at_night: int
    """How many calls belong to the night that it is now."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The last hour, and the calls in the same hour of the days before."""

    operators: Sequence[OperatorHour]
    usual: Sequence[int]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An incident that ought to be open. `subject` is a code or an account id."""

    kind: str
    subject: str
    detail: dict[str, Any] = field(compare=False)


def alarms(figures: Figures, rules: CallAlarms, now: datetime) -> list[Alarm]:
    """Return what is wrong now.

    `night_spike`: more calls at night than a night has. `call_spike`: several times the calls of the same
    hour on other days, and more than a floor, so that a new installation does not cry at every start.
    `toll_fraud`: one operator's cases ring more different numbers than one person could ask for, or numbers
    that do not exist are a large share of what is dialled, as when numbers are made up.
    """
    found = []
    calls = sum(one.calls for one in figures.operators)
    at_night = sum(one.at_night for one in figures.operators)
    night = rules.night_hours
    if night is not None and night.include(now) and at_night > rules.night_calls:
        found.append(Alarm("night_spike", "service", {"calls": at_night, "most": rules.night_calls}))
    usual = sum(figures.usual) / max(1, len(figures.usual))
    most = max(float(rules.spike_calls), rules.spike_factor * usual)
    if calls > most:
        found.append(
            Alarm("call_spike", "service", {"calls": calls, "usual": round(usual), "most": round(most)})
        )
    found += [
        Alarm(
            "toll_fraud", f"operator:{one.operator}", {"numbers": one.numbers, "most": rules.operator_numbers}
        )
        for one in figures.operators
        if one.numbers > rules.operator_numbers
    ]
    unallocated = sum(one.unallocated for one in figures.operators)
    if unallocated > rules.unallocated_calls and unallocated > rules.unallocated_share * calls:
        found.append(Alarm("toll_fraud", "unallocated", {"calls": calls, "unallocated": unallocated}))
    return found
