"""C2 on the contract board: is the feed without gaps, and does it reach the desk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database
from services.common.evidence import (
    WINDOW,
    Concern,
    Evidence,
    Figure,
    count,
    evidence_of,
    seconds,
    text,
    time,
)
from services.escalation.deliveries import push_state
from services.escalation.feed import Feed
from services.escalation.models import Escalation, FeedItem, FeedReader
from services.escalation.readers import CONSOLE

CHECKED: Final = 10_000
"""How many of the newest numbers are checked for gaps."""
LAGGING: Final = timedelta(minutes=10)
"""A reader, or the push, that an item has waited for longer than this lags behind."""
_MOST_READERS: Final = 20


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader seen within the window, how many items it has not confirmed, how long the oldest waits."""

    name: str
    behind: int
    waits: timedelta

    @property
    def title(self) -> str:
        """Its name for people."""
        return "接警台页面" if self.name == CONSOLE else self.name


@dataclass(frozen=True, slots=True)
class Reach:
    """The feed as it stands. `missing` numbers of the last ten thousand are not there.

    `acknowledged` and `pushed` are proofs of the window that items reached the desk.
    """

    newest: int
    newest_at: datetime | None
    missing: int
    readers: Sequence[Reader]
    push_waits: timedelta
    acknowledged: int
    pushed: bool


def judge(reach: Reach) -> list[Concern]:
    """Return what keeps C2 from being well."""
    if not reach.newest:
        return [("no_evidence", "还没有向接警台发出过任何消息")]
    found: list[Concern] = []
    if reach.missing:
        found.append(("breached", f"最近 {min(CHECKED, reach.newest)} 个序号中缺 {reach.missing} 个"))
    found += [
        (
            "warning",
            f"读者 {reader.title} 落后 {reader.behind} 条，最早的已等待 {_minutes(reader.waits)} 分钟",
        )
        for reader in reach.readers
        if reader.waits > LAGGING and not (reader.name == CONSOLE and _reads_otherwise(reach))
    ]
    if reach.push_waits > LAGGING:
        found.append(("warning", f"推送积压：最早的已等待 {_minutes(reach.push_waits)} 分钟"))
    if not (reach.readers or reach.pushed or reach.acknowledged):
        found.append(("no_evidence", "近 30 天没有读者进度、推送回执或签收，无法证明消息已到达接警台"))
    return found


def _reads_otherwise(reach: Reach) -> bool:
    """Whether the desk keeps up by another way than our page, which it may have looked at once."""
    by_push = reach.pushed and reach.push_waits <= LAGGING
    return by_push or any(one.name != CONSOLE and one.waits <= LAGGING for one in reach.readers)


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


class FeedEvidence:
    """Reads the feed's numbers, the readers' cursors and the push."""

    def __init__(self, database: Database, feed: Feed, clock: Clock, *, pushing: bool) -> None:
        self._database, self._feed, self._clock, self._pushing = database, feed, clock, pushing

    async def __call__(self) -> Evidence:
        """Gather what there is. Raises what the database raises."""
        now = self._clock.now()
        reach = await self._read(now)
        figures: list[Figure] = [
            count("newest", "最新序号", reach.newest),
            time("newest_at", "最新消息", reach.newest_at),
            count("missing", "缺号", reach.missing),
            count("acknowledged", "近30天签收", reach.acknowledged),
            text("push", "推送", _push(reach) if self._pushing else "未配置"),
            count("readers", "登记进度的读者", len(reach.readers)),
        ]
        for number, reader in enumerate(reach.readers, 1):
            figures.append(count(f"behind_{number}", f"{reader.title} 落后", reader.behind))
            if reader.behind:
                figures.append(seconds(f"waits_{number}", f"{reader.title} 最久未读", reader.waits))
        return evidence_of(judge(reach), figures, now)

    async def _read(self, now: datetime) -> Reach:
        since = now - WINDOW
        newest = await self._feed.last()
        first = max(0, newest - CHECKED)
        async with self._database.reading() as session:
            there = await session.scalar(
                select(func.count()).select_from(FeedItem).where(FeedItem.seq > first, FeedItem.seq <= newest)
            )
            acknowledged = await session.scalar(
                select(func.count()).select_from(Escalation).where(Escalation.acknowledged_at >= since)
            )
            push = await push_state(session, configured=self._pushing, away=False)
            waits = timedelta(0)
            if self._pushing and push.oldest_pending_at is not None:
                waits = max(now - push.oldest_pending_at, waits)
            return Reach(
                newest=newest,
                newest_at=await _moment(session, newest),
                missing=newest - first - (there or 0),
                readers=await _readers(session, newest, since, now),
                push_waits=waits,
                acknowledged=acknowledged or 0,
                pushed=push.last_delivered_at is not None and push.last_delivered_at >= since,
            )


def _push(reach: Reach) -> str:
    return "正常" if reach.push_waits <= LAGGING else "积压"


async def _readers(session: AsyncSession, newest: int, since: datetime, now: datetime) -> list[Reader]:
    rows = await session.scalars(
        select(FeedReader)
        .where(FeedReader.seen_at >= since)
        .order_by(FeedReader.seq, FeedReader.account, FeedReader.name)
        .limit(_MOST_READERS)
    )
    found = []
    for row in rows.all():
        oldest = await _moment(session, row.seq + 1) if row.seq < newest else None
        waits = timedelta(0) if oldest is None else max(now - oldest, timedelta(0))
        found.append(Reader(row.name, max(0, newest - row.seq), waits))
    return found


async def _moment(session: AsyncSession, seq: int) -> datetime | None:
    return await session.scalar(select(FeedItem.occurred_at).where(FeedItem.seq == seq))
