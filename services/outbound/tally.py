"""What a span of time did to calls, in numbers: for the recovery notice of an outage (C4)."""

from datetime import datetime, timedelta
from typing import Final, cast

from pydantic import BaseModel, Field
from sqlalchemy import Table, bindparam, case, func, or_, select, text

from services.common.database import Database
from services.outbound.attempts import UP
from services.outbound.recordings.models import AttemptRecording
from services.outbound.rows import ATTEMPTS

_RECORDINGS: Final = cast(Table, AttemptRecording.__table__)
_BEFORE: Final = timedelta(hours=1)
"""No call lasts longer: one that was up when the span began was placed after this."""
_AFTER: Final = timedelta(days=1)
"""A call that was due in the span and is not placed so long after it is in the queue still, or given up."""

_A: Final = ATTEMPTS.c
_TOUCHED: Final = or_(_A.ended_at.is_(None), _A.ended_at >= bindparam("begin"))
_FAILED: Final = or_(
    _A.outcome.in_(("congestion", "failed")),
    _A.prompt_failed_at.is_not(None) & _A.outcome.is_distinct_from("unknown"),
)
_CALLS: Final = select(
    func.count(case((_A.dialed_at >= bindparam("begin"), 1))),
    func.count(case((_TOUCHED & _FAILED, 1))),
    func.count(case((_TOUCHED & (_A.outcome == "unknown"), 1))),
    func.count(case((_A.state.in_(UP), 1))),
).where(_A.dialed_at >= bindparam("before"), _A.dialed_at < bindparam("end"))
# The words of the partial index, so that the planner can tell: a parameter would say nothing to it.
_QUEUED: Final = select(func.count()).where(text("state = 'queued'"), _A.due_at < bindparam("end"))
_PLACED_LATE: Final = select(func.count()).where(
    _A.dialed_at >= bindparam("end"), _A.dialed_at < bindparam("after"), _A.due_at < bindparam("end")
)
_UNRECORDED: Final = (
    select(func.count())
    .select_from(ATTEMPTS.outerjoin(_RECORDINGS))
    .where(
        _A.answered_at.is_not(None),
        _A.ended_at.is_not(None),
        _A.ended_at >= bindparam("begin"),
        _A.ended_at < bindparam("end"),
        _A.greeting_started_at.is_not(None),  # before that nothing is recorded
        or_(_RECORDINGS.c.attempt_id.is_(None), _RECORDINGS.c.state == "missing"),
    )
)


class CallTally(BaseModel):
    """Calls to owners in a span of time, as they stand when they are counted."""

    placed: int = Field(ge=0, description="Calls that were placed")
    failed: int = Field(
        ge=0, description="Calls up in it that a trunk or we ourselves failed: congestion, failures, prompts"
    )
    unknown: int = Field(ge=0, description="Calls up in it of which nobody knows how they ended")
    under_way: int = Field(
        ge=0, description="Calls placed in it, or shortly before, that are up, or of which that is not known"
    )
    waiting: int = Field(ge=0, description="Calls that were due in it and not placed when it was over")
    unrecorded: int | None = Field(
        ge=0,
        description="Greeted calls that ended in it and whose recording is not there (yet); "
        "null where no recordings are collected",
    )


class CallCount:
    """Counts in the tables of calls. `recorded`: whether recordings are collected here."""

    def __init__(self, database: Database, *, recorded: bool) -> None:
        self._database, self._recorded = database, recorded

    async def __call__(self, begin: datetime, end: datetime) -> CallTally:
        """Count from a moment on and before another one."""
        span = {"begin": begin, "end": end}
        async with self._database.reading() as session:
            calls = await session.execute(_CALLS, span | {"before": begin - _BEFORE})
            placed, failed, unknown, under_way = calls.one()
            queued = await session.scalar(_QUEUED, {"end": end})
            late = await session.scalar(_PLACED_LATE, {"end": end, "after": end + _AFTER})
            unrecorded = await session.scalar(_UNRECORDED, span) if self._recorded else None
        return CallTally(
            placed=placed,
            failed=failed,
            unknown=unknown,
            under_way=under_way,
            waiting=(queued or 0) + (late or 0),
            unrecorded=unrecorded,
        )
