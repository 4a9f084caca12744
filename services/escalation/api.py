"""The desk's side of the API: its feed and what it does about escalations. Schemas are in `documents`."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import select

from services.common.database import Database
from services.common.http.auth import Role, Tokens
from services.common.http.endpoint import Answer, Body, Call, Endpoint
from services.common.http.live import LiveStream, frame
from services.common.http.paging import Cursor, Limit, read_cursor, write_cursor
from services.common.http.problems import Problem, invalid, not_found
from services.common.metrics import STREAM_READERS
from services.common.tail import Tail
from services.escalation.documents import (
    Acknowledge,
    Dispose,
    EscalationAnswer,
    EscalationPage,
    FeedPage,
)
from services.escalation.escalations import Escalations, UnknownEscalation
from services.escalation.feed import Item
from services.escalation.machine import IllegalTransition, Status
from services.escalation.models import Escalation
from services.escalation.witnesses import Witnesses

DESK: frozenset[Role] = frozenset({"desk"})
MAX_WAIT_SECONDS = 60.0
MAX_SEQ = 2**63 - 1

_ID = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")
_POSITION = re.compile(r"\A[0-9]{1,18}\Z")


class FeedQuery(Body):
    """Where to go on, how long to wait for the first item, how many to give."""

    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] = 0
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0.0
    limit: Limit = 100


class StreamQuery(Body):
    """Where a stream begins; a `Last-Event-ID` header goes before it."""

    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] = 0


class EscalationsQuery(Body):
    """Which escalations to list."""

    status: Status | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class EscalationApi:
    """Endpoints of the escalation service."""

    def __init__(
        self,
        database: Database,
        escalations: Escalations,
        tail: Tail[Item],
        stream: LiveStream[Item],
        tokens: Tokens,
        witnesses: Witnesses,
    ) -> None:
        self._database = database
        self._escalations = escalations
        self._tail = tail
        self._stream = stream
        self._tokens = tokens
        self._witnesses = witnesses

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Everything this service answers."""
        one = "/escalations/{id}"
        answer = {200: EscalationAnswer}
        return (
            Endpoint(
                "GET",
                "/feed",
                "Read the feed after a number, waiting for news if asked to",
                self.feed,
                {200: FeedPage},
                roles=DESK,
                query=FeedQuery,
            ),
            Endpoint(
                "GET",
                "/feed/stream",
                "Follow the feed live; Last-Event-ID or `after` resumes",
                self.follow,
                {200: None},
                roles=DESK,
                query=StreamQuery,
                stream=True,
            ),
            Endpoint(
                "GET",
                "/escalations",
                "List escalations, newest first",
                self.list,
                {200: EscalationPage},
                roles=DESK,
                query=EscalationsQuery,
            ),
            Endpoint("GET", one, "Read an escalation", self.get, answer, roles=DESK),
            Endpoint(
                "POST",
                f"{one}/ack",
                "Take an escalation over",
                self.acknowledge,
                answer,
                roles=DESK,
                body=Acknowledge,
                problems=(409,),
                atomic=True,
            ),
            Endpoint(
                "POST",
                f"{one}/disposition",
                "Say how an escalation was dealt with",
                self.dispose,
                answer,
                roles=DESK,
                body=Dispose,
                problems=(409,),
                atomic=True,
            ),
        )

    async def feed(self, call: Call[Any, FeedQuery]) -> web.Response:
        query = call.query
        await self._check(query.after, "after")  # also: a desk that waits must hear that nothing can be read
        self._witnesses.note(call.principal.username, query.after)  # it has the rest
        with STREAM_READERS.labels("feed_poll").track_inprogress():
            items = await self._tail.after(query.after, query.limit, query.wait)
        self._tokens.authenticate(call.request)  # the session may have ended while we waited
        after = items[-1].seq if items else query.after
        body = b'{"items":[' + b",".join(item.body for item in items) + b'],"next":%d}' % after
        return web.Response(body=body, content_type="application/json")

    async def follow(self, call: Call[Any, StreamQuery]) -> web.StreamResponse:
        after = await self._stream.start_of(call.request, call.query.after)
        self._witnesses.note(call.principal.username, after)

        def framed(item: Item) -> bytes:
            return frame(item.seq, item.type, item.body)

        def reached(seq: int) -> None:
            self._witnesses.note(call.principal.username, seq)

        return await self._stream.serve(call.request, after, framed, reached)

    async def _check(self, after: int, field: str) -> None:
        newest = await self._tail.refresh()
        if after > newest:
            raise invalid(field, f"该序号尚未产生，目前最新为 {newest}")

    async def list(self, call: Call[Any, EscalationsQuery]) -> Answer:
        query = call.query
        statement = select(Escalation).order_by(Escalation.seq.desc()).limit(query.limit + 1)
        if query.status is not None:
            statement = statement.where(Escalation.status == query.status)
        if query.cursor is not None:
            position = read_cursor(query.cursor)
            if not _POSITION.match(position):
                raise invalid("cursor", "游标无效，请从第一页重新开始")
            statement = statement.where(Escalation.seq < int(position))
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        shown = rows[: query.limit]
        more = len(rows) > len(shown)
        items = [self._escalations.answer(row) for row in shown]
        return Answer(
            200, EscalationPage(items=items, next=write_cursor(str(shown[-1].seq)) if more else None)
        )

    async def get(self, call: Call[Any, Any]) -> Answer:
        async with self._database.reading() as session:
            row = await session.get(Escalation, _escalation_id(call))
        if row is None:
            raise not_found("此升级事件")
        return Answer(200, self._escalations.answer(row))

    async def acknowledge(self, call: Call[Acknowledge, Any]) -> Answer:
        by, officer = call.principal.username, call.body.officer
        try:
            return Answer(
                200, await self._escalations.acknowledge(call.session, _escalation_id(call), by, officer)
            )
        except (UnknownEscalation, IllegalTransition) as error:
            raise _problem(error) from error

    async def dispose(self, call: Call[Dispose, Any]) -> Answer:
        by, code, note = call.principal.username, call.body.code, call.body.note
        try:
            return Answer(
                200, await self._escalations.dispose(call.session, _escalation_id(call), by, code, note)
            )
        except (UnknownEscalation, IllegalTransition) as error:
            raise _problem(error) from error


def _escalation_id(call: Call[Any, Any]) -> str:
    given = call.path("id")
    if not _ID.match(given):  # what cannot be an id never reaches a query
        raise not_found("此升级事件")
    return given


def _problem(error: UnknownEscalation | IllegalTransition) -> Problem:
    if isinstance(error, UnknownEscalation):
        return not_found("此升级事件")
    return Problem(
        409,
        "illegal_transition",
        "当前状态不允许此操作",
        escalation_status=error.status,
        trigger=error.trigger,
    )
