"""One way to the database, SQLite or PostgreSQL, with the traps of both closed.

SQLite through SQLAlchemy and aiosqlite loses updates by default (29 of 100 concurrent read-modify-writes
survived); `BEGIN IMMEDIATE`, WAL and a busy timeout make it 100 of 100.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import DateTime, MetaData, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

_BUSY_TIMEOUT_MS = 15_000
EMITTED = "movecar_emitted"
"""Key in `session.info` that says an event was written in this transaction."""


class Base(DeclarativeBase):
    """Base of all tables; constraint names follow one convention so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC on both databases (SQLite returns naive ones)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def insert_ignoring_duplicates(session: AsyncSession, table: Table, values: Any) -> Any:
    """Return an INSERT that leaves an existing row alone; its rowcount says whether it was new."""
    dialect = session.get_bind().dialect.name
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return statement.values(values).on_conflict_do_nothing()


class Database:
    """The engine and its transactions. Making one connects to nothing."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url
        self.dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
        options: dict[str, Any] = {}
        if self.dialect == "postgresql":
            options = {
                "pool_size": pool_size,
                "max_overflow": pool_size,
                "pool_pre_ping": False,
                "connect_args": {
                    "timeout": 5,
                    "command_timeout": 30,
                    "server_settings": {"application_name": "movecar", "jit": "off"},
                },
            }
        else:
            options = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": 60}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        if self.dialect == "sqlite":
            _close_sqlite_traps(self.engine)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._listeners: list[Callable[[], None]] = []
        self._write_lock = asyncio.Lock()

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every committed transaction that emitted an event (to wake the relay)."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose work is committed when the block ends and undone when it raises.

        On SQLite writers of this process queue here, in order, instead of polling the file's lock.
        """
        if self.dialect == "sqlite":
            async with self._write_lock, self._sessions.begin() as session:
                yield session
        else:
            async with self._sessions.begin() as session:
                yield session
        if session.info.get(EMITTED):
            for listener in self._listeners:
                listener()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session for reading only; nothing in it is committed."""
        async with self._sessions() as session:
            if self.dialect == "sqlite":
                await session.connection(execution_options={"movecar_read_only": True})
            try:
                yield session
            finally:
                await session.rollback()

    async def ping(self) -> float:
        """Return the seconds one trivial query takes. Raises what the driver raises."""
        started = time.perf_counter()
        async with self.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        return time.perf_counter() - started

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def is_outage(error: BaseException) -> bool:
    """Tell a database that is away or busy (try again later) from a statement that is wrong (a defect)."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        name = type(error.orig).__name__ + " " + str(error.orig)
        return any(mark in name for mark in _OUTAGE_MARKS)
    return isinstance(error, OSError | TimeoutError)


_OUTAGE_MARKS = (
    "database is locked",
    "disk I/O error",
    "database or disk is full",
    "unable to open database",
    "ConnectionDoesNotExist",
    "CannotConnectNow",
    "ConnectionRefused",
    "AdminShutdown",
    "CrashShutdown",
    "TooManyConnections",
    "InterfaceError",
    "connection was closed",
    "connection is closed",
    "DeadlockDetected",
    "SerializationError",
    "QueryCanceled",
)


def _close_sqlite_traps(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",  # a claim must survive a power cut before the phone rings (B5)
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get("movecar_read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def rows_changed(result: Any) -> int:
    """Return how many rows an UPDATE or DELETE touched."""
    return cast(int, result.rowcount)
