"""One way to the database, SQLite or PostgreSQL, with the traps of both closed.

SQLite through SQLAlchemy and aiosqlite loses updates by default (29 of 100 concurrent read-modify-writes
survived); `BEGIN IMMEDIATE`, WAL and a busy timeout make it 100 of 100.
"""

import asyncio
import contextlib
import sqlite3
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from socket import gaierror
from typing import Any, cast

import aiosqlite
import orjson
from sqlalchemy import DateTime, MetaData, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.types import TypeDecorator

_BUSY_TIMEOUT_MS = 15_000
_CLOSE_SECONDS = 2.0
_CLOSE_LOOK_SECONDS = 0.01
EMITTED = "movecar_emitted"
"""Key in `session.info`, there when an event was written in this transaction: whether one is urgent."""


_READ_ONLY = "movecar_read_only"
_AFTER_COMMIT = "movecar_after_commit"


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


def after_commit(session: AsyncSession, listener: Callable[[], None]) -> None:
    """Call `listener`, once, when the transaction of this session is committed, and not otherwise."""
    session.info.setdefault(_AFTER_COMMIT, {})[listener] = None


class _Reader(Session):
    """The session behind `Database.reading`."""


@event.listens_for(_Reader, "do_orm_execute")
def _refuse_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        raise InvalidRequestError("reading() is for reading; write in a transaction()")


@event.listens_for(_Reader, "before_flush")
def _refuse_flush(*_: object) -> None:
    raise InvalidRequestError("reading() is for reading; write in a transaction()")


class Database:
    """The engine and its transactions. Making one connects to nothing."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.url = url
        self.dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
        options: dict[str, Any] = {
            "json_serializer": lambda value: orjson.dumps(value).decode(),
            "json_deserializer": orjson.loads,
            "hide_parameters": True,  # errors end in logs; values may be personal data
        }
        if self.dialect == "postgresql":
            options |= {
                "pool_size": pool_size,
                "max_overflow": 0,  # an overflow connection is closed after each use: a log-in per query
                "pool_pre_ping": False,
                "pool_use_lifo": True,  # few connections stay busy, with their statements prepared
                "connect_args": {
                    "timeout": 5,
                    "command_timeout": 30,
                    "server_settings": {
                        "application_name": "movecar",
                        "jit": "off",
                        # A process that hangs inside a transaction must not hold what all others wait for.
                        "idle_in_transaction_session_timeout": "60000",
                    },
                },
            }
        else:
            options |= {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": 60}
            options |= {"connect_args": {"async_creator_fn": _open_sqlite}}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        self._files: weakref.WeakSet[Any] = weakref.WeakSet()
        """The driver's own connections to SQLite, open or not."""
        if self.dialect == "sqlite":
            _close_sqlite_traps(self.engine, self._files)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        # Each read of its own: no BEGIN and ROLLBACK around it on PostgreSQL, no write lock on SQLite.
        reading = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {_READ_ONLY: True}
        self._readers = async_sessionmaker(
            self.engine.execution_options(**reading), sync_session_class=_Reader, expire_on_commit=False
        )
        self._listeners: list[Callable[[bool], None]] = []
        self._write_lock = asyncio.Lock()

    def on_commit(self, listener: Callable[[bool], None]) -> None:
        """Call `listener` after every committed transaction that emitted an event (to wake the relay).

        It is told whether one of the events is urgent.
        """
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
        urgent = session.info.get(EMITTED)
        if urgent is not None:
            for told in self._listeners:
                told(urgent)
        for listener in session.info.get(_AFTER_COMMIT, ()):
            listener()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session for reading: writes raise; on PostgreSQL each statement sees its own moment."""
        async with self._readers() as session:
            yield session

    async def ping(self) -> float:
        """Return the seconds one trivial query takes. Raises what the driver raises."""
        started = time.perf_counter()
        async with self.engine.connect() as connection:
            await connection.execution_options(**{_READ_ONLY: True})  # must not queue behind a writer
            await connection.exec_driver_sql("SELECT 1")
        return time.perf_counter() - started

    async def close(self) -> None:
        """Close every connection, waiting a moment for those that cancelled work is just giving back.

        A cancelled session closes in a task of its own; without the wait its connection would be left to the
        garbage collector. One that is cancelled while its transaction begins is given up by the pool, open
        and with SQLite's only write lock: it is closed here, for whoever opens the file next.
        """
        pool = self.engine.pool
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                # The pool tells nobody when a connection comes back.
                while isinstance(pool, QueuePool) and pool.checkedout():  # noqa: ASYNC110
                    await asyncio.sleep(_CLOSE_LOOK_SECONDS)
        await self.engine.dispose()
        for connection in list(self._files):
            await connection.close()


class _SqliteConnection(sqlite3.Connection):
    """Lets go of the file when it is closed, whatever was going on.

    SQLite keeps a connection with a statement that was not read to its end, and the write lock with it, until
    the last cursor is gone; that of a cancelled task is gone when the garbage is collected.
    """

    def close(self) -> None:
        """Undo what was begun, and close."""
        try:
            if self.in_transaction:
                self.rollback()
        finally:
            super().close()


async def _open_sqlite(*where: Any, **how: Any) -> aiosqlite.Connection:
    """Open a file; whoever is cancelled meanwhile closes it first.

    The driver opens it in a thread, which would answer an event loop that is closed by then.
    """
    connection = aiosqlite.connect(*where, factory=_SqliteConnection, **how)
    connection._thread.daemon = True  # as SQLAlchemy does where it opens the file itself
    opening = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):  # one that could not be opened needs no closing
            await (await opening).close()
        raise


def is_outage(error: BaseException) -> bool:
    """Tell a database that is away or busy (try again later) from a statement that is wrong (a defect).

    Decided by codes, never by words: a message may quote what a stranger sent.
    """
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        name = getattr(error.orig, "sqlite_errorname", "")
        return (
            error.connection_invalidated or state.startswith(_OUTAGE_STATES) or name.startswith(_OUTAGE_NAMES)
        )
    # What connecting raises; an OSError of another kind is a missing file or the like, and stays missing.
    return (
        isinstance(error, PoolTimeout | ConnectionError | TimeoutError | gaierror) or type(error) is OSError
    )


_OUTAGE_STATES = (
    "08",  # connection exceptions
    "25006",  # read-only: a standby that is not promoted yet
    "28",  # log-in refused: no fault of the statement
    "3D000",  # the database is not there (yet)
    "40001",
    "40P01",  # serialization failure, deadlock: the same again may pass
    "53",  # out of connections, memory, disk
    "55P03",  # lock not available
    "57",  # cancelled, shutting down, starting up
    "58",  # the machine under it fails
)
_OUTAGE_NAMES = (
    "SQLITE_BUSY",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_LOCKED",
    "SQLITE_NOMEM",
    "SQLITE_PROTOCOL",
    "SQLITE_READONLY",
)


def _close_sqlite_traps(engine: AsyncEngine, files: weakref.WeakSet[Any]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: ConnectionPoolEntry) -> None:
        files.add(connection.driver_connection)
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
        read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def rows_changed(result: Any) -> int:
    """Return how many rows an UPDATE or DELETE touched."""
    return cast(int, result.rowcount)
