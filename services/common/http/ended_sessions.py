"""Sessions ended early: kept by each service itself, so that a log-out holds there without movecar."""

from datetime import timedelta
from typing import cast

import structlog
from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates, is_outage
from services.common.events import SessionEnded
from services.common.http.auth import Tokens
from services.common.models import EndedSession

log = structlog.get_logger(__name__)

_REFRESH_SECONDS = 5.0
_KEEP = timedelta(hours=1)


class EndedSessions:
    """What this service knows of ended sessions. Other instances' finds are read every five seconds."""

    def __init__(self, service: str, database: Database, tokens: Tokens, clock: Clock) -> None:
        self._service = service
        self._database = database
        self._tokens = tokens
        self._clock = clock

    async def note(self, session: AsyncSession, event: SessionEnded) -> None:
        """Refuse the session from now on, and after a restart."""
        table = cast(Table, EndedSession.__table__)
        expired = table.c.expires_at < self._clock.now() - _KEEP
        await session.execute(delete(table).where(table.c.service == self._service, expired))
        values = {"service": self._service, "session_id": event.session_id, "expires_at": event.expires_at}
        await session.execute(insert_ignoring_duplicates(session, table, values))
        self._tokens.end([(event.session_id, event.expires_at)])

    async def load(self) -> None:
        """Read what is stored. Raises what the database raises."""
        async with self._database.reading() as session:
            rows = await session.execute(
                select(EndedSession.session_id, EndedSession.expires_at).where(
                    EndedSession.service == self._service, EndedSession.expires_at > self._clock.now()
                )
            )
            self._tokens.end([(row.session_id, row.expires_at) for row in rows])

    async def start(self) -> None:
        """Read what is stored; a database that is away only delays it, because nothing works without it."""
        try:
            await self.load()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("ended_sessions_unread", error=repr(error))

    async def refresh(self) -> None:
        """Keep reading for ever."""
        while True:
            await self._clock.sleep(_REFRESH_SECONDS)
            await self.start()
