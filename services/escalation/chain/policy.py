"""How an escalation insists: which step follows when, until the desk acknowledges and disposes (C3). Pure.

The policy is frozen into each escalation when it is raised, so that a change of the settings never loosens
what was promised for one that is open.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.common.events import EscalationReason
from services.common.settings import Settings

Priority = Literal["emergency", "high", "normal"]
Step = Literal["remind", "call", "supervisor", "raise_again"]

_PRIORITIES: Final[Mapping[EscalationReason, Priority]] = {
    "emergency_help": "emergency",
    "emergency_lane": "high",
}
RANKS: Final[Mapping[str, int]] = {"emergency": 0, "high": 1, "normal": 2}
"""Order in which the desk should take escalations: lowest first."""

_Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]


class Stage(BaseModel):
    """A step and when it is due, in seconds since the escalation began to wait for somebody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Literal["remind", "call", "supervisor"]
    after: _Seconds


class Policy(BaseModel):
    """The stages, in order; after the last one the desk line is called again every `again` seconds.

    `dispose_within`: seconds from the acknowledgement to the disposition, after which it is raised again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    again: Annotated[float, Field(ge=10, le=86_400)]
    dispose_within: _Seconds


def priority_of(reason: EscalationReason) -> Priority:
    """Return how urgent a reason is."""
    return _PRIORITIES.get(reason, "normal")


def policy_for(reason: EscalationReason, settings: Settings) -> Policy:
    """Return the policy of an escalation that is raised now. Emergency help starts with the call (C3)."""
    if priority_of(reason) == "emergency":
        stages = (
            Stage(step="call", after=0),
            Stage(step="remind", after=min(settings.ack_remind, settings.ack_call)),
            Stage(step="supervisor", after=settings.ack_remind),
        )
    else:
        stages = (
            Stage(step="remind", after=settings.ack_remind),
            Stage(step="call", after=max(settings.ack_call, settings.ack_remind)),
            Stage(step="supervisor", after=max(settings.ack_call, settings.ack_remind) + settings.ack_again),
        )
    return Policy(stages=stages, again=settings.ack_again, dispose_within=settings.dispose_within)


def step_of(policy: Policy, taken: int) -> tuple[Step, timedelta]:
    """Return the step that follows `taken` ones, and when it is due after the waiting began."""
    if taken < len(policy.stages):
        stage = policy.stages[taken]
        return stage.step, timedelta(seconds=stage.after)
    repeats = taken - len(policy.stages) + 1
    return "call", timedelta(seconds=policy.stages[-1].after + repeats * policy.again)


def waiting_due(policy: Policy, taken: int, waits_from: datetime) -> datetime:
    """Return when the next step of an escalation that waits for an acknowledgement is due."""
    return waits_from + step_of(policy, taken)[1]


def disposition_due(policy: Policy, acknowledged_at: datetime) -> datetime:
    """Return when an acknowledged escalation is raised again unless it is disposed of."""
    return acknowledged_at + timedelta(seconds=policy.dispose_within)


Violation = Literal["no_deadline", "deadline_missed", "deadline_after_disposal"]


def judge(status: str, next_step_at: datetime | None, now: datetime, grace: timedelta) -> Violation | None:
    """Tell what is wrong with an escalation's chain; None when its promise is being kept.

    An open one always has a step ahead of it, and that step is never later than `grace` past its time.
    """
    if status in {"disposed", "withdrawn"}:
        return "deadline_after_disposal" if next_step_at is not None else None
    if next_step_at is None:
        return "no_deadline"
    return "deadline_missed" if now - next_step_at > grace else None
