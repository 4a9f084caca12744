"""What an escalation's chain has done so far and what comes next: for the desk, and as proof (C3)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select

from services.common.database import Database
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.problems import not_found
from services.common.http.times import Moment
from services.escalation.chain.policy import Policy, Step
from services.escalation.desk_calls.line import Outcome
from services.escalation.machine import Status
from services.escalation.models import DeskCall, Escalation, EscalationStep

READERS: frozenset[Role] = frozenset({"desk", "supervisor", "auditor"})


class StepTaken(BaseModel):
    """A step, when it was due and when it was taken."""

    step: Step
    due_at: Moment
    taken_at: Moment


class DeskCallMade(BaseModel):
    """A call to the desk's line; `outcome` is null while it is under way, or when it was no longer needed."""

    id: str
    state: str
    outcome: Outcome | None
    queued_at: Moment
    dialed_at: Moment | None
    answered_at: Moment | None
    key: str | None
    key_at: Moment | None
    ended_at: Moment | None


class ChainAnswer(BaseModel):
    """The policy as it was frozen, the steps taken and the calls made, oldest first."""

    escalation_id: str
    status: Status
    policy: Policy | None
    waits_from: Moment | None
    next_step_at: Moment | None
    steps: list[StepTaken]
    calls: list[DeskCallMade]


class ChainApi:
    """Reads chains."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The calls of this module."""
        return (
            Endpoint(
                "GET",
                "/escalations/{id}/chain",
                "What was done while nobody acknowledged, and what follows",
                self.chain,
                {200: ChainAnswer},
                roles=READERS,
            ),
        )

    async def chain(self, call: Call[Any, Any]) -> Answer:
        escalation_id = call.path("id")
        async with self._database.reading() as session:
            row = await session.get(Escalation, escalation_id)
            if row is None:
                raise not_found("此升级事件")
            steps = await session.scalars(
                select(EscalationStep)
                .where(EscalationStep.escalation_id == escalation_id)
                .order_by(EscalationStep.id)
            )
            calls = await session.scalars(
                select(DeskCall)
                .where(DeskCall.escalation_id == escalation_id)
                .order_by(DeskCall.queued_at, DeskCall.id)
            )
            return Answer(200, _answer(row, steps.all(), calls.all()))


def _answer(row: Escalation, steps: Sequence[EscalationStep], calls: Sequence[DeskCall]) -> ChainAnswer:
    return ChainAnswer.model_validate(
        {
            "escalation_id": row.id,
            "status": row.status,
            "policy": row.policy,
            "waits_from": row.waits_from,
            "next_step_at": row.next_step_at,
            "steps": [
                {"step": step.step, "due_at": step.due_at, "taken_at": step.taken_at} for step in steps
            ],
            "calls": [{name: getattr(made, name) for name in DeskCallMade.model_fields} for made in calls],
        }
    )
