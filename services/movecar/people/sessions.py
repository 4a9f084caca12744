"""Logging in and out."""

from datetime import timedelta

from sqlalchemy import select, update

from services.common.bus import emit
from services.common.database import Database, rows_changed
from services.common.events import SessionEnded
from services.common.http.auth import Principal, Tokens
from services.common.http.problems import Problem
from services.common.ids import new_id
from services.common.service import Kernel
from services.movecar.people.models import Account, Session
from services.movecar.people.passwords import Passwords

_REFRESH_SECONDS = 2.0


class Sessions:
    """Starts and ends sessions; tokens carry them, the table is their record."""

    def __init__(self, kernel: Kernel, passwords: Passwords) -> None:
        self._database: Database = kernel.database
        self._tokens: Tokens = kernel.tokens
        self._clock = kernel.clock
        self._passwords = passwords
        self._length = timedelta(hours=kernel.settings.session_hours)

    async def log_in(self, username: str, password: str, remote: str) -> tuple[str, Principal]:
        """Return a token and whose it is. Raises Problem 401, the same for every cause."""
        async with self._database.reading() as reader:
            account = await reader.scalar(select(Account).where(Account.username == username))
        if not await self._passwords.fits(password, account.password_hash if account else None):
            raise Problem(401, "invalid_credentials", "用户名或密码不正确")
        if account is None:
            raise AssertionError("a password never fits an account that does not exist")
        now = self._clock.now()
        principal = Principal(
            account_id=account.id,
            username=account.username,
            name=account.name,
            role=account.role,  # type: ignore[arg-type]
            session_id=new_id(),
            expires_at=(now + self._length).replace(microsecond=0),
        )
        async with self._database.transaction() as session:
            session.add(
                Session(
                    id=principal.session_id,
                    account_id=account.id,
                    started_at=now,
                    expires_at=principal.expires_at,
                    ended_at=None,
                    remote=remote,
                )
            )
        return self._tokens.issue(principal), principal

    def seconds_left(self, principal: Principal) -> int:
        """Return how long a session still lasts."""
        return max(0, int((principal.expires_at - self._clock.now()).total_seconds()))

    async def log_out(self, principal: Principal) -> None:
        """End a session here at once, and elsewhere when the news arrives."""
        now = self._clock.now()
        async with self._database.transaction() as session:
            ended = await session.execute(
                update(Session)
                .where(Session.id == principal.session_id, Session.ended_at.is_(None))
                .values(ended_at=now)
                .execution_options(synchronize_session=False)
            )
            if rows_changed(ended):
                await emit(
                    session,
                    SessionEnded(
                        occurred_at=now,
                        session_id=principal.session_id,
                        expires_at=principal.expires_at,
                    ),
                )
        self._tokens.end([(principal.session_id, principal.expires_at)])

    async def watch_ended(self) -> None:
        """Learn for ever of sessions that other processes of this service ended."""
        while True:
            await self.load_ended()
            await self._clock.sleep(_REFRESH_SECONDS)

    async def load_ended(self) -> None:
        """Refuse the tokens of every session that ended before its expiry."""
        async with self._database.reading() as session:
            rows = await session.execute(
                select(Session.id, Session.expires_at).where(
                    Session.ended_at.is_not(None), Session.expires_at > self._clock.now()
                )
            )
            self._tokens.end((row.id, row.expires_at) for row in rows)
