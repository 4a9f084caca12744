"""Looks once a minute whether the calls look honest, and opens and closes incidents (B4)."""

from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    bindparam,
    case,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.call_rules import CallAlarms
from services.common.clock import Clock
from services.common.database import Database
from services.common.tasks import repeat
from services.outbound.guard.alarms import KINDS, Figures, OperatorHour, alarms
from services.outbound.incidents import SYSTEM, close_incident, open_incident
from services.outbound.models import Incident
from services.outbound.rows import ATTEMPTS

_EVERY_SECONDS: Final = 60.0
_HOUR: Final = timedelta(hours=1)
_DAYS: Final = 7
"""How many days before tell what is usual."""

_INCIDENTS: Final = cast(Table, Incident.__table__)
_KNOWN: Final = select(_INCIDENTS.c.kind, _INCIDENTS.c.subject, _INCIDENTS.c.closed_at).where(
    _INCIDENTS.c.kind.in_(KINDS),
    _INCIDENTS.c.closed_at.is_(None)
    | ((_INCIDENTS.c.closed_at > bindparam("since")) & (_INCIDENTS.c.closed_by != SYSTEM)),
)


def _figures() -> CompoundSelect[Any]:
    """A row for each operator of the last hour, then one for each day before; all from one index."""
    dialed, outcome = ATTEMPTS.c.dialed_at, ATTEMPTS.c.outcome
    hour = (
        select(
            literal_column("0").label("day"),
            ATTEMPTS.c.operator,
            func.count().label("calls"),
            func.count(ATTEMPTS.c.callee.distinct()).label("numbers"),
            func.count(case((outcome == "unallocated", 1))).label("unallocated"),
            func.count(case((dialed > bindparam("night"), 1))).label("at_night"),
        )
        .where(dialed > bindparam("from_0"))
        .group_by(ATTEMPTS.c.operator)
    )
    return union_all(hour, *(_calls_of_day(day) for day in range(1, _DAYS + 1)))


def _calls_of_day(day: int) -> Select[*tuple[Any, ...]]:
    nothing: ColumnElement[int] = literal_column("0")
    return select(
        literal_column(str(day)), literal_column("''"), func.count(), nothing, nothing, nothing
    ).where(ATTEMPTS.c.dialed_at > bindparam(f"from_{day}"), ATTEMPTS.c.dialed_at <= bindparam(f"to_{day}"))


_FIGURES: Final = _figures()


class Watch:
    """The watcher. Any number of instances may watch: an incident is open once."""

    def __init__(self, database: Database, clock: Clock, rules: CallAlarms) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules

    async def run(self) -> None:
        """Look for ever."""
        await repeat(self.look, self._clock, _EVERY_SECONDS, "watch_waits")

    async def look(self) -> None:
        """Open what is wrong now, and close what is over.

        What a person closed while it lasts stays closed for an hour: they know.
        """
        now = self._clock.now()
        async with self._database.reading() as session:
            figures = await self._read(session, now)
            rows = (await session.execute(_KNOWN, {"since": now - _HOUR})).all()
        wrong = {(alarm.kind, alarm.subject): alarm for alarm in alarms(figures, self._rules, now)}
        known = {(row.kind, row.subject) for row in rows}
        over = {(row.kind, row.subject) for row in rows if row.closed_at is None} - wrong.keys()
        new = wrong.keys() - known
        if not (new or over):
            return
        async with self._database.transaction() as session:
            for key in sorted(new):
                await open_incident(session, *key, now, detail=wrong[key].detail)
            for key in sorted(over):
                await close_incident(session, *key, now)

    async def _read(self, session: AsyncSession, now: datetime) -> Figures:
        night = self._rules.night_hours
        values = {"night": max(now - _HOUR, night.began(now)) if night is not None else now}
        for day in range(_DAYS + 1):
            end = now - timedelta(days=day)
            values |= {f"from_{day}": end - _HOUR} | ({f"to_{day}": end} if day else {})
        operators, usual = [], []
        for day, *rest in await session.execute(_FIGURES, values):
            if day:
                usual.append(cast(int, rest[1]))
            else:
                operators.append(OperatorHour(*rest))
        return Figures(operators, usual)
