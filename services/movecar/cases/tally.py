"""What a span of time did to cases, in numbers: for the recovery notice of an outage (C4)."""

from datetime import datetime
from typing import Final, cast

from pydantic import BaseModel, Field
from sqlalchemy import Table, bindparam, case, distinct, func, select

from services.common.database import Database
from services.movecar.cases.models import STUCK, Case, CaseHistory

_CASES: Final = cast(Table, Case.__table__)
_HISTORY: Final = cast(Table, CaseHistory.__table__)
_OF_OURS: Final = ("unavailable", "registry_unavailable", "failed", "call_unknown", "unknown")
"""Reasons in a case's history for which it came to a person because the system could not do its work."""

_OPENED: Final = select(func.count()).where(
    _CASES.c.created_at >= bindparam("begin"), _CASES.c.created_at < bindparam("end")
)
_UNDELIVERED: Final = select(func.count()).where(
    _CASES.c.status == "escalated", _CASES.c.created_at < bindparam("end"), _CASES.c.escalation_seq.is_(None)
)
_CAME_TO: Final = _HISTORY.c.to_status
_STUCK: Final = select(
    func.count(case(((_HISTORY.c.trigger == "lookup_failed") & (_HISTORY.c.reason == "unavailable"), 1))),
    func.count(
        distinct(
            case(((_CAME_TO == "attention") & _HISTORY.c.reason.in_(_OF_OURS), _HISTORY.c.case_id)),
        )
    ),
    func.count(distinct(case((_CAME_TO == "escalated", _HISTORY.c.case_id)))),
    # The words of the partial index, so that the planner can tell: a parameter would say nothing to it.
).where(STUCK, _HISTORY.c.at >= bindparam("begin"), _HISTORY.c.at < bindparam("end"))


class CaseTally(BaseModel):
    """Cases in a span of time."""

    opened: int = Field(ge=0, description="Cases that were opened")
    lookups_failed: int = Field(ge=0, description="Lookups that the vehicle registry did not answer")
    to_person: int = Field(
        ge=0,
        description="Cases that came to attention because the system could not do its work: "
        "no answer of the registry, a deadline that passed, a call that failed or whose end is not known",
    )
    to_desk: int = Field(ge=0, description="Cases that went to the 110 desk because their deadline passed")
    undelivered: int = Field(
        ge=0,
        description="Cases opened before its end that are escalated now and of which the desk's feed has not "
        "said that they are there",
    )


class CaseCount:
    """Counts in the tables of cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, begin: datetime, end: datetime) -> CaseTally:
        """Count from a moment on and before another one."""
        span = {"begin": begin, "end": end}
        async with self._database.reading() as session:
            opened = await session.scalar(_OPENED, span)
            undelivered = await session.scalar(_UNDELIVERED, {"end": end})
            lookups_failed, to_person, to_desk = (await session.execute(_STUCK, span)).one()
        return CaseTally(
            opened=opened or 0,
            lookups_failed=lookups_failed,
            to_person=to_person,
            to_desk=to_desk,
            undelivered=undelivered or 0,
        )
