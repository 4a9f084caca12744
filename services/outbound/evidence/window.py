"""The comparison over any past window, hour by hour, in bounded memory; nothing is changed by it (B4)."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database
from services.common.membership import among, shares
from services.outbound.evidence.calls import calls_of
from services.outbound.evidence.facts import (
    ATTEMPT_COLUMNS,
    RECORDS,
    Recordings,
    attempt_of,
    attempt_rows,
    calls_claiming,
    read_until,
    record_of,
)
from services.outbound.evidence.reconcile import Kind, Mismatch, Reconciliation, reconcile
from services.outbound.models import Incident
from services.outbound.rows import ATTEMPTS, CONTACTS

SHOWN: Final = 200
"""Mismatches that a report names; beyond them it only counts."""
_SLICE: Final = timedelta(hours=1)
_INCIDENTS: Final = cast(Table, Incident.__table__)
_DIALLED: Final = (
    select(*ATTEMPT_COLUMNS)
    .join_from(ATTEMPTS, CONTACTS)
    .where(ATTEMPTS.c.dialed_at >= bindparam("since"), ATTEMPTS.c.dialed_at < bindparam("until"))
)
_STARTED: Final = select(RECORDS).where(
    RECORDS.c.started_at >= bindparam("since"), RECORDS.c.started_at < bindparam("until")
)
_DISOWNED: Final = select(_INCIDENTS.c.subject).where(
    _INCIDENTS.c.kind == Kind.ATTEMPT_WITHOUT_CASE,
    _INCIDENTS.c.closed_at.is_(None),
    among(_INCIDENTS.c.subject, "ids"),
)


@dataclass(slots=True)
class WindowReport:
    """What a window's comparison shows.

    attempts: dialled and ended in it. pending: dialled in it and not comparable yet. placed: calls to owners
    by the switch's records; with_attempt, with_case, answered, recorded: how many of those have one, or were.
    """

    since: datetime
    until: datetime
    attempts: int = 0
    pending: int = 0
    placed: int = 0
    with_attempt: int = 0
    with_case: int = 0
    answered: int = 0
    recorded: int = 0
    mismatches: Counter[str] = field(default_factory=Counter)
    shown: list[Mismatch] = field(default_factory=list)

    def add(self, result: Reconciliation, disowned: list[Mismatch]) -> None:
        """Take in what came of one part of the window."""
        self.placed += result.calls
        self.with_attempt += result.with_attempt
        self.with_case += result.with_attempt - len(disowned)
        self.answered += result.answered
        self.recorded += result.recorded
        for mismatch in (*result.mismatches, *disowned):
            self.mismatches[str(mismatch.kind)] += 1
            if len(self.shown) < SHOWN:
                self.shown.append(mismatch)


async def compare_window(
    database: Database,
    recordings: Recordings | None,
    since: datetime,
    until: datetime,
    *,
    nodes: Collection[str],
    now: datetime,
    after: timedelta,
) -> WindowReport:
    """Compare the calls of a window.

    Those that ended less than `after` ago, or later than the files of `nodes` were read, are only counted.
    """
    report = WindowReport(since, until)
    async with database.reading() as session:
        ended_before = (await read_until(session, nodes, now) or since) - after
        for begin, end in _slices(since, until):
            await _compare_slice(session, recordings, begin, end, ended_before, report)
    return report


async def _compare_slice(
    session: AsyncSession,
    recordings: Recordings | None,
    since: datetime,
    until: datetime,
    ended_before: datetime,
    report: WindowReport,
) -> None:
    between = {"since": since, "until": until}
    rows = {row.id: row for row in await session.execute(_DIALLED, between)}
    over = {
        row.id: attempt_of(row)
        for row in rows.values()
        if row.state == "ended" and row.ended_at is not None and row.ended_at < ended_before
    }
    report.attempts += len(over)
    report.pending += len(rows) - len(over)
    started = (await session.execute(_STARTED, between)).all()
    claimed = {row.attempt_id for row in started if row.attempt_id} - rows.keys()
    elsewhere = await attempt_rows(session, claimed)  # dialled in another hour, or never
    over |= {
        row.id: attempt_of(row)
        for row in elsewhere.values()
        if row.dialed_at is None and row.state in {"queued", "ended"}
    }
    calls = await calls_claiming(session, over.keys() | (claimed - elsewhere.keys()))
    calls += calls_of(record_of(row) for row in started if not row.attempt_id)
    found = await recordings(session, over.keys()) if recordings else None
    result = reconcile(over.values(), calls, found)
    disowned: list[Mismatch] = []
    for share in shares(over):
        subjects = await session.scalars(_DISOWNED, {"ids": share})
        disowned += [Mismatch(Kind.ATTEMPT_WITHOUT_CASE, each, over[each].case_id) for each in subjects]
    report.add(result, disowned)


def _slices(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + _SLICE, until)
        yield since, end
        since = end
