"""When an escalation insists, and how: by its frozen policy alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import EscalationReason
from services.common.settings import Settings
from services.escalation.chain.policy import (
    Policy,
    Stage,
    Violation,
    judge,
    policy_for,
    priority_of,
    step_of,
    waiting_due,
)
from tests.support.running import settings_for

NOW = datetime(2026, 4, 1, tzinfo=UTC)
GRACE = timedelta(seconds=10)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, ack_remind=60, ack_call=180, ack_again=120)


def plan(policy: Policy, steps: int) -> list[tuple[str, float]]:
    return [(step, wait.total_seconds()) for step, wait in (step_of(policy, taken) for taken in range(steps))]


def test_the_desk_is_reminded_then_called_then_the_supervisor_steps_in(settings: Settings) -> None:
    assert plan(policy_for("dispute", settings), 5) == [
        ("remind", 60),
        ("call", 180),
        ("supervisor", 300),
        # and it never stops
        ("call", 420),
        ("call", 540),
    ]


def test_emergency_help_starts_with_the_call(settings: Settings) -> None:
    assert plan(policy_for("emergency_help", settings), 4) == [
        ("call", 0),
        ("remind", 60),
        ("supervisor", 60),
        ("call", 180),
    ]


@pytest.mark.parametrize("reason", get_args(EscalationReason))
def test_every_reason_leads_to_the_line_and_to_a_person(reason: EscalationReason, settings: Settings) -> None:
    steps = [stage.step for stage in policy_for(reason, settings).stages]
    assert {"call", "supervisor"} <= set(steps)
    assert priority_of(reason) in {"emergency", "high", "normal"}


@given(
    waits=st.lists(st.floats(0, 3600, allow_nan=False), min_size=1, max_size=4).map(sorted),
    again=st.floats(10, 3600, allow_nan=False),
    taken=st.integers(0, 1000),
)
def test_there_is_always_a_next_step_and_never_before_the_last(
    waits: list[float], again: float, taken: int
) -> None:
    stages = tuple(Stage(step="remind", after=wait) for wait in waits)
    policy = Policy(stages=stages, again=again, dispose_within=60)
    assert waiting_due(policy, taken + 1, NOW) >= waiting_due(policy, taken, NOW) >= NOW


@pytest.mark.parametrize(
    ("status", "next_step_at", "violation"),
    [
        ("raised", NOW + timedelta(seconds=1), None),  # ahead of it
        ("raised", NOW - GRACE, None),  # being taken
        ("raised", NOW - GRACE - timedelta(milliseconds=1), "deadline_missed"),  # forgotten
        ("acknowledged", NOW - timedelta(hours=1), "deadline_missed"),  # nobody asked after the disposition
        ("raised", None, "no_deadline"),  # would wait for ever
        ("acknowledged", None, "no_deadline"),
        ("disposed", None, None),  # over
        ("withdrawn", None, None),
        ("disposed", NOW, "deadline_after_disposal"),  # the desk would be called for nothing
    ],
)
def test_an_open_escalation_always_has_a_step_ahead_of_it(
    status: str, next_step_at: datetime | None, violation: Violation | None
) -> None:
    assert judge(status, next_step_at, NOW, GRACE) == violation
