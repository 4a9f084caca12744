"""The calls about evidence: incidents, the switch's records, the comparison. Rules are beside."""

import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select, tuple_

from services.common.clock import Clock
from services.common.database import Database
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import Problem, invalid, not_found
from services.outbound.evidence.documents import (
    CallRecordAnswer,
    CallRecordPage,
    CallRecordsQuery,
    CloseIncident,
    IncidentAnswer,
    IncidentPage,
    IncidentsQuery,
    MismatchAnswer,
    ReconciliationAnswer,
    WindowQuery,
    shown_moment,
)
from services.outbound.evidence.facts import Recordings
from services.outbound.evidence.models import StoredCallRecord
from services.outbound.evidence.window import WindowReport, compare_window
from services.outbound.incidents import close_incident
from services.outbound.models import Incident

READERS: Final[frozenset[Role]] = frozenset({"supervisor", "auditor"})
CLOSERS: Final[frozenset[Role]] = frozenset({"supervisor"})
LONGEST_WINDOW: Final = timedelta(days=7)

_ID: Final = re.compile(r"[0-9a-f]{32}")
_SEQ: Final = re.compile(r"[0-9]{1,18}")


class EvidenceApi:
    """Endpoints about evidence. `nodes` and `after` as those of the `Reconciler`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        nodes: Collection[str],
        recordings: Recordings | None,
        *,
        after: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._nodes = nodes
        self._recordings = recordings
        self._after = timedelta(seconds=after)

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Everything that is answered here."""
        one = "/incidents/{id}"
        return (
            Endpoint(
                "GET",
                "/incidents",
                "List incidents, newest first",
                self.list_incidents,
                {200: IncidentPage},
                roles=READERS,
                query=IncidentsQuery,
            ),
            Endpoint("GET", one, "Read an incident", self.get_incident, {200: IncidentAnswer}, roles=READERS),
            Endpoint(
                "POST",
                f"{one}/close",
                "Close an incident, saying what was found",
                self.close,
                {200: IncidentAnswer},
                roles=CLOSERS,
                body=CloseIncident,
                problems=(409,),
                atomic=True,
            ),
            Endpoint(
                "GET",
                "/call-records",
                "List the switches' own call records, newest first",
                self.list_records,
                {200: CallRecordPage},
                roles=READERS,
                query=CallRecordsQuery,
            ),
            Endpoint(
                "GET",
                "/call-records/reconciliation",
                "Compare the calls of a window with the evidence",
                self.reconciliation,
                {200: ReconciliationAnswer},
                roles=READERS,
                query=WindowQuery,
            ),
        )

    async def list_incidents(self, call: Call[Any, IncidentsQuery]) -> Answer:
        query = call.query
        statement = select(Incident).order_by(Incident.opened_at.desc(), Incident.id.desc())
        if query.status is not None:
            open_ = Incident.closed_at.is_(None)
            statement = statement.where(open_ if query.status == "open" else ~open_)
        if query.kind is not None:
            statement = statement.where(Incident.kind == query.kind)
        if query.cursor is not None:
            moment, _, incident_id = read_cursor(query.cursor).partition("|")
            try:
                position = shown_moment(moment), incident_id
            except ValueError:
                raise _bad_cursor() from None
            statement = statement.where(tuple_(Incident.opened_at, Incident.id) < tuple_(*position))
        async with self._database.reading() as session:
            rows = (await session.scalars(statement.limit(query.limit + 1))).all()
        shown = rows[: query.limit]
        following = (
            write_cursor(f"{shown[-1].opened_at.isoformat()}|{shown[-1].id}")
            if len(rows) > len(shown)
            else None
        )
        return Answer(200, IncidentPage(items=[_show(row) for row in shown], next=following))

    async def get_incident(self, call: Call[Any, Any]) -> Answer:
        async with self._database.reading() as session:
            row = await session.get(Incident, _incident_id(call))
        if row is None:
            raise not_found("此异常")
        return Answer(200, _show(row))

    async def close(self, call: Call[CloseIncident, Any]) -> Answer:
        session = call.session
        row = await session.get(Incident, _incident_id(call))
        if row is None:
            raise not_found("此异常")
        closed = await close_incident(
            session,
            row.kind,
            row.subject,
            self._clock.now(),
            by=call.principal.username,
            note=call.body.note,
            incident_id=row.id,
        )
        if not closed:
            raise Problem(409, "incident_closed", "此异常已关闭")
        await session.refresh(row)
        return Answer(200, _show(row))

    async def list_records(self, call: Call[Any, CallRecordsQuery]) -> Answer:
        query = call.query
        record = StoredCallRecord
        statement = select(record).order_by(record.started_at.desc(), record.seq.desc())
        if query.from_ is not None:
            statement = statement.where(record.started_at >= query.from_)
        if query.to is not None:
            statement = statement.where(record.started_at < query.to)
        if query.attempt is not None:
            statement = statement.where(record.attempt_id == query.attempt)
        if query.cursor is not None:
            moment, _, seq = read_cursor(query.cursor).partition("|")
            try:
                started_at = shown_moment(moment)
            except ValueError:
                raise _bad_cursor() from None
            if not _SEQ.fullmatch(seq):
                raise _bad_cursor()
            position = tuple_(started_at, int(seq))
            statement = statement.where(tuple_(record.started_at, record.seq) < position)
        async with self._database.reading() as session:
            rows = (await session.scalars(statement.limit(query.limit + 1))).all()
        shown = rows[: query.limit]
        items = [CallRecordAnswer.model_validate(row, from_attributes=True) for row in shown]
        following = (
            write_cursor(f"{shown[-1].started_at.isoformat()}|{shown[-1].seq}")
            if len(rows) > len(shown)
            else None
        )
        return Answer(200, CallRecordPage(items=items, next=following))

    async def reconciliation(self, call: Call[Any, WindowQuery]) -> Answer:
        since, until = call.query.from_, call.query.to
        if not since < until:
            raise invalid("to", "应晚于 from")
        if until - since > LONGEST_WINDOW:
            raise invalid("to", f"时段最长 {LONGEST_WINDOW.days} 天，更长的时段请用命令 reconcile")
        report = await compare_window(
            self._database,
            self._recordings,
            since,
            until,
            nodes=self._nodes,
            now=self._clock.now(),
            after=self._after,
        )
        return Answer(200, _report(report))


def _incident_id(call: Call[Any, Any]) -> str:
    given = call.path("id")
    if not _ID.fullmatch(given):  # what cannot be an id never reaches a query
        raise not_found("此异常")
    return given


def _bad_cursor() -> Problem:
    return invalid("cursor", "游标无效，请从第一页重新开始")


def _show(row: Incident) -> IncidentAnswer:
    return IncidentAnswer(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        status="open" if row.closed_at is None else "closed",
        detail=row.detail,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        note=row.note,
    )


def _report(report: WindowReport) -> ReconciliationAnswer:
    return ReconciliationAnswer(
        from_=report.since,
        to=report.until,
        attempts=report.attempts,
        pending=report.pending,
        placed=report.placed,
        with_attempt=report.with_attempt,
        with_case=report.with_case,
        answered=report.answered,
        recorded=report.recorded,
        mismatches=dict(report.mismatches),
        shown=[
            MismatchAnswer(
                kind=mismatch.kind,
                subject=mismatch.subject,
                case_id=mismatch.case_id,
                detail=dict(mismatch.detail),
            )
            for mismatch in report.shown
        ],
    )
