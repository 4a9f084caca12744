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
from services.common.http.live import Frame, LiveStream
from services.common.http.times import rfc3339
from services.common.models import OutboxEntry
from services.common.service import Kernel
from services.common.tail import Tail
from services.movecar.cases.models import Case
from services.movecar.cases.transitions import CaseRules
from services.movecar.cases.view import show


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a case, ready to send: once with the requester's number, once with it masked."""

    seq: int
    escalated: bool
    full: str
    masked: str


_FULL: frozenset[Role] = frozenset({"operator", "supervisor", "desk"})
_EVERY_CASE: frozenset[Role] = frozenset({"operator", "supervisor", "auditor"})


class CaseStream:
    """Reads case changes from the log; the numbers are the log's positions."""

    def __init__(self, kernel: Kernel, rules: CaseRules) -> None:
        self._database: Database = kernel.database
        self._rules = rules
        self.tail: Tail[Change] = Tail(self._read, self._last, kernel.clock)
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
            full = {view.id: view for view in await show(session, self._rules, cases, "operator")}
            masked = {view.id: view for view in await show(session, self._rules, cases, "auditor")}
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
                    escalated=payload["escalated"],
                    full=_item(head, full[case_id].model_dump_json()),
                    masked=_item(head, masked[case_id].model_dump_json()),
                )
            )
        return changes

    async def stream(self, call: Call[Nothing, "StreamQuery"]) -> web.StreamResponse:
        """Send changes as server-sent events from `Last-Event-ID` (or `after`, or now) on."""
        role = call.principal.role

        def frame(change: Change) -> Frame | None:
            if role in _EVERY_CASE or (role == "desk" and change.escalated):
                return Frame("case.changed", change.full if role in _FULL else change.masked)
            return None

        after = await self._live.start_of(call.request, call.query.after)
        return await self._live.serve(call.request, after, frame)

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


def _item(head: dict[str, object], case_json: str) -> str:
    return orjson.dumps(head).decode()[:-1] + ',"data":' + case_json + "}"
