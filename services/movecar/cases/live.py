"""The consoles' live stream: every change of a case, in commit order, with resume."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from pydantic import Field
from sqlalchemy import bindparam, func, select

from services.common.database import Database
from services.common.events import CasesChanged
from services.common.http.auth import ROLES, Role
from services.common.http.endpoint import Body, Call, Endpoint, Nothing
from services.common.http.live import LiveStream, frame
from services.common.http.times import rfc3339
from services.common.models import OutboxEntry
from services.common.pace import Pace
from services.common.service import Kernel
from services.common.tail import Tail
from services.movecar.cases.models import Case
from services.movecar.cases.transitions import CaseRules
from services.movecar.cases.view import CaseView, masked, show

_PACE_EACH = 0.01
_PACE_LONGEST = 0.2


_NEWS = (
    select(OutboxEntry.position, OutboxEntry.event_id, OutboxEntry.payload)
    .where(OutboxEntry.position > bindparam("after"), OutboxEntry.type == CasesChanged.TYPE)
    .order_by(OutboxEntry.position)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class _Named:
    """That one case changed: its number in the log, its id in the stream, which case, and when (RFC 3339)."""

    seq: int
    id: str
    case_id: str
    occurred_at: str


def _named(position: int, event_id: str, payload: dict[str, Any]) -> Iterator[_Named]:
    """Give each case of an event, in order, the number that was kept for it; the last has the event's own."""
    event = CasesChanged.model_validate(payload | {"event_id": event_id})
    at = rfc3339(event.occurred_at)
    for behind, case_id in zip(range(len(event.cases) - 1, -1, -1), event.cases, strict=True):
        yield _Named(position - behind, f"{event_id}-{behind}" if behind else event_id, case_id, at)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a case, as it is sent: once with the requester's number, once with it masked."""

    seq: int
    escalated: bool
    full: bytes
    masked: bytes


_FULL: frozenset[Role] = frozenset({"operator", "supervisor", "desk"})
_EVERY_CASE: frozenset[Role] = frozenset({"operator", "supervisor", "auditor"})


class CaseStream:
    """Reads case changes from the log; the numbers are the log's positions.

    Under load a console is told a little later, and of more at a time: nobody sees a fifth of a second.
    """

    def __init__(self, kernel: Kernel, rules: CaseRules) -> None:
        self._database: Database = kernel.database
        self._rules = rules
        self.tail: Tail[Change] = Tail(
            self._read, self._last, kernel.clock, pace=Pace(_PACE_EACH, _PACE_LONGEST)
        )
        self._live = LiveStream("events", self.tail, kernel.tokens)
        kernel.relay.on_numbered(self.tail.wake)

    async def _last(self) -> int:
        async with self._database.reading() as session:
            return await session.scalar(select(func.max(OutboxEntry.position))) or 0

    async def _read(self, after: int, limit: int) -> Sequence[Change]:
        async with self._database.reading() as session:
            told = [
                named
                for row in await session.execute(_NEWS, {"after": after, "limit": limit})
                for named in _named(*row)
                if named.seq > after
            ][:limit]
            if not told:
                return []
            # The case as it is now: a reader that missed steps wants the present, not the past.
            ids = {named.case_id for named in told}
            cases = list(await session.scalars(select(Case).where(Case.id.in_(ids))))
            views = await show(session, self._rules, cases, "operator")
        full = {view.id: _json(view) for view in views}
        hidden = {view.id: _json(masked(view)) for view in views}
        escalated = {case.id for case in cases if case.escalation_id is not None}
        changes = []
        for named in told:
            if named.case_id not in full:
                continue
            head = {
                "seq": named.seq,
                "type": "case.changed",
                "id": named.id,
                "occurred_at": named.occurred_at,
            }
            changes.append(
                Change(
                    seq=named.seq,
                    escalated=named.case_id in escalated,
                    full=frame(named.seq, "case.changed", orjson.dumps(head | {"data": full[named.case_id]})),
                    masked=frame(
                        named.seq, "case.changed", orjson.dumps(head | {"data": hidden[named.case_id]})
                    ),
                )
            )
        return changes

    async def stream(self, call: Call[Nothing, "StreamQuery"]) -> web.StreamResponse:
        """Send changes as server-sent events from `Last-Event-ID` (or `after`, or now) on."""
        role = call.principal.role

        def framed(change: Change) -> bytes:
            if role in _EVERY_CASE or (role == "desk" and change.escalated):
                return change.full if role in _FULL else change.masked
            return b""

        after = await self._live.start_of(call.request, call.query.after)
        return await self._live.serve(call.request, after, framed)

    def endpoint(self) -> Endpoint:
        """Return the endpoint of the stream."""
        return Endpoint(
            "GET",
            "/events",
            "Every change you may see, live; Last-Event-ID resumes",
            self.stream,
            {200: None},
            roles=ROLES,
            query=StreamQuery,
            stream=True,
        )


class StreamQuery(Body):
    """Where to start when there is no `Last-Event-ID` header (browsers' first connection)."""

    after: int | None = Field(default=None, ge=0, le=10**18)


def _json(view: CaseView) -> orjson.Fragment:
    return orjson.Fragment(view.model_dump_json())
