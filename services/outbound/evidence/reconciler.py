"""Compares what has ended with the evidence, for ever: incidents, bills, and what an unknown call was (B4).

Driven from both sides: by attempts that ended a while ago and were not compared yet, and by call records that
were not looked at yet. Neither looks at history: an index holds the first, a number per switch the second.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast

import structlog
from sqlalchemy import Table, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.database import Database, is_outage, rows_changed
from services.common.events import CallsPlaced, PlacedCall
from services.common.membership import among, shares
from services.outbound.evidence.billing import bill
from services.outbound.evidence.calls import SwitchCall, calls_of
from services.outbound.evidence.facts import (
    RECORDS,
    SOURCES,
    Recordings,
    attempt_of,
    attempt_rows,
    calls_claiming,
    read_until,
    record_of,
)
from services.outbound.evidence.models import BillableCall
from services.outbound.evidence.reconcile import Kind, Mismatch, Reconciliation, reconcile
from services.outbound.incidents import close_incident, open_incident
from services.outbound.metrics import RECONCILED
from services.outbound.models import Incident
from services.outbound.rows import ATTEMPTS, CONTACTS, RECORD_COLUMNS
from services.outbound.rows import record_of as attempt_record_of

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 5.0
_OUTAGE_SECONDS: Final = 2.0
_BATCH: Final = 500
_RECHECKED: Final = 100
"""Open incidents looked at again in each round, in turn."""

_BILLS: Final = cast(Table, BillableCall.__table__)
_BILL: Final = {
    name: dialect.insert(_BILLS).on_conflict_do_nothing()
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
_INCIDENTS: Final = cast(Table, Incident.__table__)
_COMPARED: Final = [str(kind) for kind in Kind if kind is not Kind.ATTEMPT_WITHOUT_CASE]
"""Kinds that a comparison opens, and closes when it finds nothing any more."""

_DUE: Final = (
    select(ATTEMPTS.c.id)
    .where(
        ATTEMPTS.c.state == "ended",
        ATTEMPTS.c.dialed_at.is_not(None),
        ATTEMPTS.c.reconciled_at.is_(None),
        ATTEMPTS.c.ended_at < bindparam("ended_before"),
        or_(ATTEMPTS.c.answered_at.is_(None), ATTEMPTS.c.ended_at < bindparam("recorded_before")),
    )
    .order_by(ATTEMPTS.c.ended_at)
    .limit(_BATCH)
)
_SOURCES: Final = select(SOURCES.c.node, SOURCES.c.checked_seq).where(among(SOURCES.c.node, "nodes"))
_NEWS: Final = (
    select(RECORDS)
    .where(RECORDS.c.node == bindparam("of"), RECORDS.c.seq > bindparam("after"))
    .order_by(RECORDS.c.seq)
    .limit(_BATCH)
)
_LATE: Final = (
    select(_INCIDENTS.c.subject)
    .where(
        _INCIDENTS.c.kind == Kind.ANSWERED_WITHOUT_RECORDING,
        _INCIDENTS.c.closed_at.is_(None),
        _INCIDENTS.c.subject > bindparam("after"),
    )
    .order_by(_INCIDENTS.c.subject)
    .limit(_RECHECKED)
)
_OPEN: Final = select(_INCIDENTS.c.kind, _INCIDENTS.c.subject).where(
    _INCIDENTS.c.kind.in_(_COMPARED),
    _INCIDENTS.c.closed_at.is_(None),
    among(_INCIDENTS.c.subject, "subjects"),
)
_CHECKED: Final = (
    update(ATTEMPTS)
    .where(among(ATTEMPTS.c.id, "ids"), ATTEMPTS.c.reconciled_at.is_(None))
    .values(reconciled_at=bindparam("now"))
)
_LOOKED: Final = (
    update(SOURCES)
    .where(SOURCES.c.node == bindparam("of"), SOURCES.c.checked_seq == bindparam("was"))
    .values(checked_seq=bindparam("is_"))
)
_PROVED: Final = (
    update(ATTEMPTS)
    .where(
        ATTEMPTS.c.id == bindparam("of"),
        ATTEMPTS.c.state == "ended",
        ATTEMPTS.c.outcome == "unknown",
        ATTEMPTS.c.reason.is_(None),
    )
    .values(reason=bindparam("proof"), version=ATTEMPTS.c.version + 1)
)


class OvertakenError(Exception):
    """Another instance has looked at these call records meanwhile; what it found is in the database."""


@dataclass(slots=True)
class _Round:
    """What is looked at together."""

    due: set[str]
    read_to: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Node → number of the last call record that was looked at, before this round and after it."""
    claimed: set[str] = field(default_factory=set)
    """Attempts that new call records belong to or claim to."""
    strangers: list[SwitchCall] = field(default_factory=list)
    """New calls that do not even claim an attempt."""
    late: set[str] = field(default_factory=set)
    more: bool = False

    @property
    def attempts(self) -> set[str]:
        return self.due | self.claimed | self.late


class Reconciler:
    """The comparison as a task; several instances may run it at a time.

    `nodes`: the switches whose call records are collected. `after`: how long after its end a call is
    compared: its record is written within milliseconds and read within seconds. `recorded_after`: likewise
    for a call that was answered, whose recording takes longer to be put away; in seconds.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        nodes: Collection[str],
        recordings: Recordings | None,
        *,
        after: float,
        recorded_after: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._nodes = sorted(nodes)
        self._recordings = recordings
        self._after = timedelta(seconds=after)
        self._recorded_after = timedelta(seconds=max(after, recorded_after if recordings else after))
        self._late_after = ""

    async def run(self) -> None:
        """Compare for ever. A database that is away delays it and loses nothing."""
        while True:
            wait = _LOOK_SECONDS
            try:
                while await self.check():
                    pass
            except OvertakenError:
                log.info("reconciler_overtaken")
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("reconciler_waits", error=repr(error))
                wait = _OUTAGE_SECONDS
            await self._clock.sleep(wait)

    async def check(self) -> bool:
        """Compare what can be compared now; tell whether there was so much that there may be more.

        Raises OvertakenError, and what the database raises; nothing is lost by it.
        """
        now = self._clock.now()
        async with self._database.reading() as session:
            round_ = await self._gather(session, now)
            if not round_.attempts and not round_.read_to:
                return False
            rows = await attempt_rows(session, round_.attempts)
            compared = {
                attempt_id: row
                for attempt_id, row in rows.items()
                if _comparable(row, attempt_id in round_.due)
            }
            calls = await calls_claiming(session, compared.keys())
            unclaimed = await calls_claiming(session, round_.claimed - rows.keys())
            recordings = await self._recordings(session, compared.keys()) if self._recordings else None
        result = reconcile(
            map(attempt_of, compared.values()), [*calls, *unclaimed, *round_.strangers], recordings
        )
        fresh = [row for row in compared.values() if row.reconciled_at is None and row.dialed_at is not None]
        async with self._database.transaction() as session:
            await self._write(session, round_, result, compared, fresh, now)
        RECONCILED.inc(len(fresh))
        return round_.more

    async def _gather(self, session: AsyncSession, now: datetime) -> _Round:
        until = await read_until(session, self._nodes, now)
        due: set[str] = set()
        if until is not None:
            moments = {"ended_before": until - self._after, "recorded_before": until - self._recorded_after}
            due = set(await session.scalars(_DUE, moments))
        round_ = _Round(due, more=len(due) == _BATCH)
        for node, checked_seq in (await session.execute(_SOURCES, {"nodes": self._nodes})).all():
            news = (await session.execute(_NEWS, {"of": node, "after": checked_seq})).all()
            if news:
                round_.read_to[node] = (checked_seq, news[-1].seq)
                round_.claimed |= {row.attempt_id for row in news if row.attempt_id}
                round_.strangers += calls_of(record_of(row) for row in news if not row.attempt_id)
                round_.more |= len(news) == _BATCH
        if self._recordings:
            round_.late = set(await session.scalars(_LATE, {"after": self._late_after}))
            self._late_after = max(round_.late) if len(round_.late) == _RECHECKED else ""
        return round_

    async def _write(
        self,
        session: AsyncSession,
        round_: _Round,
        result: Reconciliation,
        compared: Mapping[str, Any],
        fresh: Sequence[Any],
        now: datetime,
    ) -> None:
        for node, (was, is_) in round_.read_to.items():
            moved = await session.execute(_LOOKED, {"of": node, "was": was, "is_": is_})
            if rows_changed(moved) != 1:
                raise OvertakenError
        if result.proofs:
            bills = [bill(proof) | {"reconciled_at": now} for proof in result.proofs]
            await session.execute(_BILL[session.get_bind().dialect.name], bills)
        await self._settle_incidents(session, result.mismatches, compared.keys(), now)
        for mismatch in result.mismatches:
            if mismatch.kind is Kind.UNKNOWN_CALL:
                await _note(session, mismatch, now)
        for share in shares(row.id for row in fresh):
            await session.execute(_CHECKED, {"ids": share, "now": now})
        if fresh:
            calls = tuple(
                PlacedCall(attempt_id=row.id, case_id=row.case_id, dialed_at=row.dialed_at) for row in fresh
            )
            await emit(session, CallsPlaced(occurred_at=now, calls=calls))

    async def _settle_incidents(
        self, session: AsyncSession, found: Sequence[Mismatch], compared: Collection[str], now: datetime
    ) -> None:
        standing = {(str(mismatch.kind), mismatch.subject) for mismatch in found}
        for share in shares(compared):
            for row in (await session.execute(_OPEN, {"subjects": share})).all():
                if (row.kind, row.subject) not in standing:
                    await close_incident(session, row.kind, row.subject, now)
        for mismatch in found:
            await open_incident(
                session,
                mismatch.kind,
                mismatch.subject,
                now,
                case_id=mismatch.case_id,
                detail=dict(mismatch.detail),
            )


def _comparable(row: Any, due: bool) -> bool:
    """Tell whether an attempt can be compared now: it is over, and its time has come or had come before.

    One that waits in the queue and has a call record was dialled although we took it for not sent.
    """
    if row.dialed_at is None:
        return row.state in {"queued", "ended"}
    return row.state == "ended" and (due or row.reconciled_at is not None)


async def _note(session: AsyncSession, mismatch: Mismatch, now: datetime) -> None:
    """Write what is proved about an unknown call beside its outcome, once, and tell the operators' side."""
    proof = {"of": mismatch.subject, "proof": f"proved_{mismatch.detail['proved']}"}
    if rows_changed(await session.execute(_PROVED, proof)):
        row = (
            await session.execute(
                select(*RECORD_COLUMNS).join_from(ATTEMPTS, CONTACTS).where(ATTEMPTS.c.id == mismatch.subject)
            )
        ).one()
        await emit(session, attempt_record_of(row).snapshot(now))
