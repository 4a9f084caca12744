"""How the push to the desk's own system stands, and sending items again (C2)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database, rows_changed
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.times import Moment
from services.escalation.models import FeedItem, PushDelivery

READERS: frozenset[Role] = frozenset({"desk", "supervisor", "auditor"})


class PushState(BaseModel):
    """`away`: whether the desk's system is taken to be away; it is tried all the same, every five seconds."""

    configured: bool
    away: bool
    pending: int
    oldest_pending_at: Moment | None
    last_delivered_at: Moment | None
    last_error: str | None


async def push_state(session: AsyncSession, *, configured: bool, away: bool) -> PushState:
    """Return how deliveries stand; the last error is that of an item which is still pending."""
    waiting = PushDelivery.delivered_at.is_(None)
    pending, oldest = (
        await session.execute(
            select(func.count(), func.min(FeedItem.occurred_at))
            .select_from(PushDelivery)
            .join(FeedItem, FeedItem.seq == PushDelivery.seq)
            .where(waiting)
        )
    ).one()
    delivered = await session.scalar(select(func.max(PushDelivery.delivered_at)))
    error = await session.scalar(
        select(PushDelivery.last_error)
        .where(waiting, PushDelivery.last_error.is_not(None))
        .order_by(PushDelivery.seq)
        .limit(1)
    )
    return PushState(
        configured=configured,
        away=away,
        pending=pending,
        oldest_pending_at=oldest,
        last_delivered_at=delivered,
        last_error=error,
    )


async def send_again(session: AsyncSession, first: int, last: int, now: datetime) -> int:
    """Have the delivered items with these numbers pushed once more; return how many.

    When each was taken for the first time stays on record; what is still pending goes out anyway.
    """
    again = await session.execute(
        update(PushDelivery)
        .where(PushDelivery.seq.between(first, last), PushDelivery.delivered_at.is_not(None))
        .values(
            first_delivered_at=func.coalesce(PushDelivery.first_delivered_at, PushDelivery.delivered_at),
            replays=PushDelivery.replays + 1,
            delivered_at=None,
            status=None,
            last_error=None,
            tries=0,
            next_try_at=now,
            claimed_by=None,
        ),
        execution_options={"synchronize_session": False},
    )
    return rows_changed(again)


class DeliveryApi:
    """Shows the state of the push. `is_away` tells what the pusher of this process makes of the target."""

    def __init__(self, database: Database, is_away: Callable[[], bool] | None) -> None:
        self._database = database
        self._is_away = is_away

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The call of this module."""
        return (
            Endpoint(
                "GET",
                "/feed/push",
                "Whether the desk's own system takes what is pushed to it",
                self.show,
                {200: PushState},
                roles=READERS,
            ),
        )

    async def show(self, _: Call[Any, Any]) -> Answer:
        configured = self._is_away is not None
        away = self._is_away() if self._is_away is not None else False
        async with self._database.reading() as session:
            return Answer(200, await push_state(session, configured=configured, away=away))
