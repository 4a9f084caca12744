"""Pushing the feed to the desk's own system: at least once, in order per escalation, until it is taken (C2).

Every item has a row in `push_deliveries`, written with the item. Only the oldest untaken item of an
escalation is sent, so a desk never hears of an acknowledgement before the escalation itself; another
escalation's items do not wait for it, because one item that the desk's system refuses must not keep an
emergency from it. Across escalations the order is therefore not that of the feed: `X-Movecar-Seq` tells.

A try is claimed by a compare-and-set on the row before anything is sent. The claim lapses by itself, so a
crash delays an item and loses none, and several instances share the work. What failed waits in its row.
"""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import aiohttp
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Update, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from services.common.clock import Clock
from services.common.database import Database, is_outage, rows_changed
from services.escalation.desk_http import TIMEOUT_SECONDS, DeskHttp, NotAccepted
from services.escalation.feed import Feed, Item
from services.escalation.models import FeedItem, PushDelivery
from services.escalation.push_rules import Target, pause_after

log = structlog.get_logger(__name__)

PUSH_SENT = Counter("movecar_push_total", "Tries to push a feed item", ["result"])
PUSH_OLDEST = Gauge("movecar_push_oldest_pending_seconds", "Age of the oldest item not taken; 0 when none")
PUSH_FAILURES = Gauge("movecar_push_failures_in_a_row", "Failed tries since the desk's system last took one")
PUSH_DEAD = Gauge("movecar_push_target_dead", "1 while the desk's system is taken to be away")

NOTE_POLICY = AsyncRetrying(
    retry=retry_if_exception(is_outage), wait=wait_fixed(0.5), stop=stop_after_delay(15.0), reraise=True
)
"""An outcome is noted although the database is away for a moment; after 15 s its claim lapses anyway."""

_CONCURRENCY = 8
_POLL_SECONDS = 0.5
_LEASE = timedelta(seconds=TIMEOUT_SECONDS + 10.0)
_MAX_ERROR = 200


class Pusher:
    """Delivers what is due, a few items at a time."""

    def __init__(self, database: Database, feed: Feed, desk: DeskHttp, clock: Clock, instance: str) -> None:
        self._database = database
        self._feed = feed
        self._desk = desk
        self._clock = clock
        self._instance = instance
        self._target = Target()
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def target_away(self) -> bool:
        """Whether the desk's system is taken to be away."""
        return self._target.dead

    def wake(self) -> None:
        """Look for due items now."""
        self._woken.set()

    async def run(self) -> None:
        """Push for ever. A database that is away delays it; what is under way then is finished and noted."""
        await self._let_go()
        async with self._desk.session(_CONCURRENCY) as http:
            try:
                while True:
                    self._woken.clear()
                    try:
                        claimed = await self._claim(_CONCURRENCY - len(self._sending))
                    except Exception as error:
                        if not is_outage(error):
                            raise
                        log.warning("push_waits", error=repr(error))
                        claimed = []
                    for item, tries in claimed:
                        self._send(http, item, tries)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_POLL_SECONDS):
                            await self._woken.wait()
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)

    def _send(self, http: aiohttp.ClientSession, item: Item, tries: int) -> None:
        task = asyncio.create_task(self._deliver(http, item, tries))
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The outcome could not be noted: the claim lapses and the item goes out again.
            log.warning("push_outcome_unnoted", error=repr(error))

    async def _let_go(self) -> None:
        """Give back what this instance held when it stopped."""
        await self._write(
            update(PushDelivery)
            .where(PushDelivery.claimed_by == self._instance, PushDelivery.delivered_at.is_(None))
            .values(claimed_by=None, next_try_at=self._clock.now())
        )

    async def _claim(self, room: int) -> list[tuple[Item, int]]:
        """Take up to `room` due items, each with the number of its try."""
        now = self._clock.now()
        async with self._database.reading() as session:
            await self._measure(session)
            due = (await session.execute(_due(now, room))).all() if room > 0 else []
        admitted = self._target.admit([row.tries for row in due], self._clock.monotonic())
        if not admitted:
            return []
        claimed: dict[int, int] = {}
        async with self._database.transaction() as session:
            for row in (due[index] for index in admitted):
                taken = await session.execute(
                    update(PushDelivery)
                    .where(
                        PushDelivery.seq == row.seq,
                        PushDelivery.tries == row.tries,
                        PushDelivery.delivered_at.is_(None),
                    )
                    .values(tries=row.tries + 1, next_try_at=now + _LEASE, claimed_by=self._instance),
                    execution_options={"synchronize_session": False},
                )
                if rows_changed(taken):
                    claimed[row.seq] = row.tries + 1
            items = await self._feed.find(session, list(claimed))
        return [(items[seq], tries) for seq, tries in claimed.items()]

    async def _measure(self, session: AsyncSession) -> None:
        # `+ 0` keeps PostgreSQL from walking the primary key past every delivered row to find the first one;
        # the index of the undelivered ones has next to none.
        first = select(func.min(PushDelivery.seq + 0)).where(PushDelivery.delivered_at.is_(None))
        oldest = await session.scalar(
            select(FeedItem.occurred_at).where(FeedItem.seq == first.scalar_subquery())
        )
        age = self._clock.now() - oldest if oldest is not None else timedelta(0)
        PUSH_OLDEST.set(max(0.0, age.total_seconds()))

    async def _deliver(self, http: aiohttp.ClientSession, item: Item, tries: int) -> None:
        try:
            status = await self._desk.post(http, item)
        except NotAccepted as error:
            PUSH_SENT.labels("failed").inc()
            if self._target.failed():
                log.error(  # noqa: TRY400 - the target's fault has no traceback of ours
                    "push_target_dead", host=self._desk.host, error=str(error)
                )
            log.warning("push_failed", seq=item.seq, tries=tries, error=str(error))
            await self._note(
                item,
                tries,
                next_try_at=self._clock.now() + pause_after(tries),
                last_error=str(error)[:_MAX_ERROR],
            )
        else:
            PUSH_SENT.labels("taken").inc()
            back = self._target.succeeded()
            await self._note(item, None, delivered_at=self._clock.now(), status=status)
            if back:
                log.warning("push_target_back", host=self._desk.host)
                await self._hurry()
        finally:
            PUSH_FAILURES.set(self._target.failures)
            PUSH_DEAD.set(self._target.dead)

    async def _note(self, item: Item, tries: int | None, **values: Any) -> None:
        """Record an outcome; a failure only while nobody has claimed the item since (`tries` is the same)."""
        statement = update(PushDelivery).where(
            PushDelivery.seq == item.seq, PushDelivery.delivered_at.is_(None)
        )
        if tries is not None:
            statement = statement.where(PushDelivery.tries == tries)
        await NOTE_POLICY.copy(sleep=self._clock.sleep)(
            self._write, statement.values(claimed_by=None, **values)
        )

    async def _write(self, statement: Update) -> None:
        async with self._database.transaction() as session:
            await session.execute(statement, execution_options={"synchronize_session": False})

    async def _hurry(self) -> None:
        """The system is back: let everything that waits go now."""
        await self._write(
            update(PushDelivery)
            .where(PushDelivery.delivered_at.is_(None), PushDelivery.claimed_by.is_(None))
            .values(next_try_at=self._clock.now())
        )


def _due(now: Any, room: int) -> Any:
    earlier = aliased(PushDelivery)
    return (
        select(PushDelivery.seq, PushDelivery.tries)
        .where(
            PushDelivery.delivered_at.is_(None),
            PushDelivery.next_try_at <= now,
            ~exists().where(
                earlier.subject == PushDelivery.subject,
                earlier.delivered_at.is_(None),
                earlier.seq < PushDelivery.seq,
            ),
        )
        # Never tried ones first: what the desk's system keeps refusing must not crowd out what is new.
        .order_by(PushDelivery.tries > 0, PushDelivery.next_try_at, PushDelivery.seq)
        .limit(room)
    )
