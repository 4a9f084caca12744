"""Readers of the feed: where a new one begins, and how far each known one has come (C2)."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Body, Call, Endpoint
from services.common.http.problems import invalid
from services.common.http.times import Moment
from services.escalation.chain.policy import RANKS
from services.escalation.documents import EscalationAnswer
from services.escalation.escalations import Escalations
from services.escalation.feed import Feed
from services.escalation.machine import OPEN
from services.escalation.models import Escalation, FeedReader
from services.escalation.witnesses import Witnesses

CONSOLE = "console"
"""Under this name the desk's page keeps how far it has shown the feed."""
DESK: frozenset[Role] = frozenset({"desk"})
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")


class Snapshot(BaseModel):
    """The open escalations, most urgent first. Going on with `GET /feed?after=seq` misses nothing.

    Items up to `seq` are in it; some after it may be too, and applying an item twice changes nothing.
    """

    seq: int
    escalations: list[EscalationAnswer]


class Reached(Body):
    """The number of the last item that a reader has dealt with."""

    seq: Annotated[int, Field(ge=0, le=2**63 - 1)]


class Reader(BaseModel):
    """A reader and how far it has come; `behind` counts the items it has not confirmed."""

    name: str
    seq: int
    behind: int
    seen_at: Moment


class Readers(BaseModel):
    """The readers of this account, by name."""

    items: list[Reader]


class ReaderApi:
    """Snapshot and cursors. A cursor never moves back: a replay is asked for with `after`."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        escalations: Escalations,
        witnesses: Witnesses,
        clock: Clock,
    ) -> None:
        self._database = database
        self._feed = feed
        self._escalations = escalations
        self._witnesses = witnesses
        self._clock = clock

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The calls of this module."""
        return (
            Endpoint(
                "GET",
                "/feed/snapshot",
                "Where a new reader begins: everything that is open, and the number to go on from",
                self.snapshot,
                {200: Snapshot},
                roles=DESK,
            ),
            Endpoint(
                "GET",
                "/feed/readers",
                "How far this account's readers are",
                self.list,
                {200: Readers},
                roles=DESK,
            ),
            Endpoint(
                "PUT",
                "/feed/readers/{name}",
                "Keep how far a reader has come",
                self.keep,
                {200: Reader},
                roles=DESK,
                body=Reached,
                atomic=True,
            ),
        )

    async def snapshot(self, _: Call[Any, Any]) -> Answer:
        # The number first: what is committed between the two reads is shown and follows in the feed as well.
        seq = await self._feed.last()
        async with self._database.reading() as session:
            rows = await session.scalars(select(Escalation).where(Escalation.status.in_(sorted(OPEN))))
            ordered = sorted(rows, key=lambda row: (RANKS.get(row.priority, len(RANKS)), row.seq))
            return Answer(
                200, Snapshot(seq=seq, escalations=[self._escalations.answer(row) for row in ordered])
            )

    async def list(self, call: Call[Any, Any]) -> Answer:
        newest = await self._feed.last()
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(FeedReader)
                .where(FeedReader.account == call.principal.account_id)
                .order_by(FeedReader.name)
            )
            return Answer(200, Readers(items=[_reader(row, newest) for row in rows]))

    async def keep(self, call: Call[Reached, Any]) -> Answer:
        name = call.path("name")
        if not _NAME.fullmatch(name):
            raise invalid("name", "应为 1 至 40 个字母、数字或 . _ -")
        newest = await self._feed.last()
        if call.body.seq > newest:
            raise invalid("seq", f"该序号尚未产生，目前最新为 {newest}")
        self._witnesses.note(call.principal.username, call.body.seq)  # what it has dealt with it was given
        row = await self._advance(call.session, call.principal.account_id, name, call.body.seq)
        return Answer(200, _reader(row, newest))

    async def _advance(self, session: AsyncSession, account: str, name: str, seq: int) -> FeedReader:
        now = self._clock.now()
        values = {"account": account, "name": name, "seq": seq, "seen_at": now}
        await session.execute(insert_ignoring_duplicates(session, FeedReader.__table__, values))  # type: ignore[arg-type]
        mine = (FeedReader.account == account) & (FeedReader.name == name)
        await session.execute(update(FeedReader).where(mine, FeedReader.seq < seq).values(seq=seq))
        await session.execute(update(FeedReader).where(mine).values(seen_at=now))
        return (await session.scalars(select(FeedReader).where(mine))).one()


def _reader(row: FeedReader, newest: int) -> Reader:
    return Reader(name=row.name, seq=row.seq, behind=max(0, newest - row.seq), seen_at=row.seen_at)
