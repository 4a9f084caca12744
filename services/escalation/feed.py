"""The desk's feed: items numbered without a gap, in the order they are committed (C2).

The number comes from one counter row, raised in the writer's own transaction. Its row lock is held until
that transaction ends, so the next writer, on any machine, gets the next number only after this one's item is
visible, and gets the same number when this one is rolled back. A reader that sees number n therefore sees
every number below it, on PostgreSQL too, where sequences would leave gaps and commit out of order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

import orjson
import structlog
from pydantic import BaseModel
from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.crypto import Keys, SealBroken
from services.common.database import Database, after_commit, insert_ignoring_duplicates
from services.common.http.times import rfc3339
from services.common.ids import new_id
from services.escalation.models import FeedCounter, FeedItem, PushDelivery

log = structlog.get_logger(__name__)

ItemType = Literal[
    "escalation.raised",
    "escalation.updated",
    "escalation.reminded",
    "escalation.acknowledged",
    "escalation.disposed",
    "escalation.withdrawn",
    "fault.opened",
    "fault.recovered",
    "fault.overrun",
    "fault.announced",
    "fault.alarm",
]

_COUNTERS = cast(Table, FeedCounter.__table__)
_ITEMS = cast(Table, FeedItem.__table__)
_COUNTER = "feed"
_LOCKED = "movecar_feed_locked"
_RAISE = (
    update(_COUNTERS)
    .where(_COUNTERS.c.name == _COUNTER)
    .values(last=_COUNTERS.c.last + bindparam("by"))
    .returning(_COUNTERS.c.last)
)
_NEW_ITEMS = insert(_ITEMS)
_NEW_PUSHES = insert(cast(Table, PushDelivery.__table__))


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be written.

    `item_id` is given where the same item may be written twice; `push` is false for what is pushed by another
    way.
    """

    type: ItemType
    subject: str
    data: BaseModel
    item_id: str = field(default_factory=new_id)
    push: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """A feed item, opened and serialised once: `body` is the JSON that poll, stream and push all send.

    One that does not open with our key (`readable` false) keeps its place, with `data` null: the desk must
    learn of it, and what comes after it must not wait.
    """

    seq: int
    type: str
    body: bytes
    readable: bool = True


class Feed:
    """Writes and reads feed items. `pushing` says whether each item is also to be pushed to the desk."""

    def __init__(self, database: Database, keys: Keys, *, pushing: bool) -> None:
        self._database = database
        self._keys = keys
        self._pushing = pushing
        self._listeners: list[Callable[[], None]] = []

    def on_append(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every transaction of this process that committed an item."""
        self._listeners.append(listener)

    async def lock(self, session: AsyncSession) -> None:
        """Let no other transaction write to the feed until this one ends.

        Whoever changes an escalation takes this lock first: with one order of locks there is no deadlock
        between a batch of events and the desk's requests.
        """
        if session.info.get(_LOCKED):
            return
        statement = select(_COUNTERS.c.last).where(_COUNTERS.c.name == _COUNTER).with_for_update()
        if await session.scalar(statement) is None:
            first = {"name": _COUNTER, "last": 0}
            await session.execute(insert_ignoring_duplicates(session, _COUNTERS, first))
            await session.scalar(statement)
        session.info[_LOCKED] = True

    async def append(self, session: AsyncSession, now: datetime, *items: NewItem) -> list[int]:
        """Write items and return their numbers, in order. The caller's rollback takes all of it back."""
        await self.lock(session)
        last: int = (await session.execute(_RAISE, {"by": len(items)})).scalar_one()
        numbers = list(range(last - len(items) + 1, last + 1))
        await session.execute(
            _NEW_ITEMS,
            [
                {
                    "seq": seq,
                    "item_id": item.item_id,
                    "type": item.type,
                    "subject": item.subject,
                    "occurred_at": now,
                    "data_sealed": self._keys.seal(item.data.model_dump_json(), f"feed:{item.item_id}"),
                }
                for seq, item in zip(numbers, items, strict=True)
            ],
        )
        pushes = [
            {"seq": seq, "subject": item.subject, "tries": 0, "next_try_at": now}
            for seq, item in zip(numbers, items, strict=True)
            if self._pushing and item.push
        ]
        if pushes:
            await session.execute(_NEW_PUSHES, pushes)
        after_commit(session, self._committed)
        return numbers

    async def number_of(self, session: AsyncSession, item_id: str) -> int | None:
        """Return the number of the item with this id; None when it is not written. Takes the feed's lock."""
        await self.lock(session)
        return await session.scalar(select(_ITEMS.c.seq).where(_ITEMS.c.item_id == item_id))

    def _committed(self) -> None:
        for listener in self._listeners:
            listener()

    async def last(self) -> int:
        """Return the number of the newest item, 0 when there is none."""
        async with self._database.reading() as session:
            return await session.scalar(select(_COUNTERS.c.last).where(_COUNTERS.c.name == _COUNTER)) or 0

    async def read(self, after: int, limit: int) -> list[Item]:
        """Return up to `limit` items with numbers above `after`, in order."""
        async with self._database.reading() as session:
            rows = await session.execute(
                select(_ITEMS).where(_ITEMS.c.seq > after).order_by(_ITEMS.c.seq).limit(limit)
            )
            return [self._open(row) for row in rows]

    async def find(self, session: AsyncSession, numbers: Sequence[int]) -> dict[int, Item]:
        """Return the items with these numbers."""
        rows = await session.execute(select(_ITEMS).where(_ITEMS.c.seq.in_(numbers)))
        return {row.seq: self._open(row) for row in rows}

    def _open(self, row: Any) -> Item:
        # The sealed text goes into the body as it is: every repeat of a push has the same bytes.
        try:
            data = self._keys.open(row.data_sealed, f"feed:{row.item_id}")
        except SealBroken:
            log.exception("feed_item_unreadable", seq=row.seq)
            data = None
        document = {
            "seq": row.seq,
            "type": row.type,
            "id": row.item_id,
            "occurred_at": rfc3339(row.occurred_at),
            "data": None if data is None else orjson.Fragment(data),
        }
        return Item(row.seq, row.type, orjson.dumps(document), readable=data is not None)
