"""SQLite with its traps closed; PostgreSQL is held to the same in tests/integration/database."""

import asyncio
import errno
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common.database import Database, is_outage
from tests.contract.database import THINGS, DatabaseContract, create_things


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}")
    await create_things(database)
    yield database
    await database.close()


class TestSqlite(DatabaseContract):
    async def test_it_survives_a_power_cut_and_lets_readers_read(self, database: Database) -> None:
        async with database.reading() as session:
            values = [
                await session.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert values == ["wal", 2, 1]

    async def test_two_processes_writing_at_once_wait_for_each_other(
        self, database: Database, tmp_path: Path
    ) -> None:
        other = Database(database.url)  # its own connections and its own queue, as another process has
        async with database.transaction() as session:
            await session.execute(insert(THINGS).values(id=1))
            writing = asyncio.create_task(_write(other))
            await asyncio.sleep(0)
        await writing
        await other.close()

    async def test_a_lock_that_is_never_let_go_is_an_outage(self, database: Database) -> None:
        other = Database(database.url)
        async with other.reading() as session:  # opens the connection whose patience is cut short
            await session.execute(text("PRAGMA busy_timeout = 20"))
        async with database.transaction() as session:
            await session.execute(insert(THINGS).values(id=1))
            with pytest.raises(OperationalError) as caught:
                await _write(other)
        assert is_outage(caught.value)
        await other.close()

    async def test_a_connection_given_up_in_a_statement_lets_go_of_the_file(self, database: Database) -> None:
        other = Database(database.url)
        async with other.reading() as session:
            await session.execute(text("PRAGMA busy_timeout = 20"))
        async with database.engine.connect() as connection:
            await connection.execute(insert(THINGS).values(id=1))
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            unread = await driver.execute("SELECT * FROM things")
            await connection.invalidate()  # as when its task is cancelled, whose traceback keeps the cursor
        await _write(other)
        async with other.reading() as session:
            assert list(await session.scalars(text("SELECT id FROM things"))) == [2]
        del unread
        await other.close()

    async def test_a_file_that_cannot_be_opened_is_an_outage(self, tmp_path: Path) -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'missing' / 'test.sqlite3'}")
        with pytest.raises(OperationalError) as caught:
            await database.ping()
        assert is_outage(caught.value)
        await database.close()
        # The driver does not wait for the thread of a connection that failed.
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join, 5)


async def _write(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(insert(THINGS).values(id=2))


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (ConnectionRefusedError(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (socket.gaierror(), True),
        (OSError("Multiple exceptions: [Errno 111]"), True),  # asyncio, when a name has several addresses
        (PoolTimeout(), True),  # every connection is in use
        (FileNotFoundError(errno.ENOENT, "a recording"), False),  # stays missing
        (PermissionError(), False),
        (ValueError("database is locked"), False),
        (KeyError("AdminShutdown"), False),
    ],
)
def test_what_is_an_outage(error: Exception, outage: bool) -> None:
    assert is_outage(error) is outage


def test_who_is_cancelled_while_a_file_is_opened_leaves_no_thread_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)

    async def work(turn: int) -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}")
        asking = asyncio.ensure_future(database.ping())
        for _ in range(turn % 8):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await database.close()

    for turn in range(80):
        asyncio.run(work(turn))  # each with an event loop that is closed at once
    for thread in threading.enumerate():
        if thread.name.endswith("(_connection_worker_thread)"):
            thread.join(5.0)
    assert failed == []
