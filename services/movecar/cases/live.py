"""The consoles' live stream: every change of a case, in commit order, with resume."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import Field
from sqlalchemy import func, select

from services.common.database import Database
from services.common.events import CaseChanged
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
            rows = (
                await session.execute(
                    select(OutboxEntry.position, OutboxEntry.event_id, OutboxEntry.key, OutboxEntry.payload)
                    .where(OutboxEntry.position > after, OutboxEntry.type == CaseChanged.TYPE)
                    .order_by(OutboxEntry.position)
                    .limit(limit)
                )
            ).all()
            if not rows:
                return []
            # The case as it is now: a reader that missed steps wants the present, not the past.
            cases = list(await session.scalars(select(Case).where(Case.id.in_({row.key for row in rows}))))
            views = await show(session, self._rules, cases, "operator")
        full = {view.id: _json(view) for view in views}
        hidden = {view.id: _json(masked(view)) for view in views}
        escalated = {case.id for case in cases if case.escalation_id is not None}
        changes = []
        for position, event_id, case_id, payload in rows:
            if case_id not in full:
                continue
            head = {
                "seq": position,
                "type": "case.changed",
                "id": event_id,
                "occurred_at": rfc3339(CaseChanged.model_validate(payload).occurred_at),
            }
            changes.append(
                Change(
                    seq=position,
                    escalated=case_id in escalated,
                    full=frame(position, "case.changed", orjson.dumps(head | {"data": full[case_id]})),
                    masked=frame(position, "case.changed", orjson.dumps(head | {"data": hidden[case_id]})),
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
