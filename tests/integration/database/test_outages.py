"""Every way in which a PostgreSQL server is away is told from a statement that is wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from deploy.stack.postgres import Postgres
from services.common.database import Database, is_outage


@pytest.fixture
def server(server_home: Path, tmp_path: Path) -> Iterator[Postgres]:
    """A server that this test may kill."""
    server = Postgres(server_home / f"outages-{tmp_path.name}", durable=False)
    server.start()
    server.ensure_database()
    yield server
    server.stop()


@pytest.fixture
async def database(server: Postgres) -> AsyncIterator[Database]:
    database = Database(server.url(), pool_size=2)
    yield database
    await database.close()


async def _ask(database: Database, query: str) -> object:
    async with database.transaction() as session:
        return await session.scalar(text(query))


async def _busy(database: Database, waiting: Database) -> asyncio.Task[object]:
    """Return a query that is running in the server."""
    task = asyncio.create_task(_ask(database, "SELECT pg_sleep(60)"))
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    async with asyncio.timeout(10):
        while not await _ask(waiting, running):  # noqa: ASYNC110 - the server knows, nobody here
            await asyncio.sleep(0.01)
    return task


async def _outcome(work: asyncio.Task[object]) -> Exception:
    await asyncio.wait([work], timeout=20)
    error = work.exception()
    assert isinstance(error, Exception)
    return error


async def test_killed_restarted_and_away(server: Postgres, database: Database) -> None:
    running = await _busy(database, database)
    await asyncio.to_thread(server.kill)
    assert is_outage(await _outcome(running))  # in the middle of a query
    assert is_outage(await _outcome(asyncio.create_task(_ask(database, "SELECT 1"))))  # refused
    server.spawn()
    met: set[str] = set()
    async with asyncio.timeout(30):
        while True:  # while it recovers
            try:
                assert await _ask(database, "SELECT 1") == 1
                break
            except Exception as error:
                assert is_outage(error), error
                met.add(type(error).__name__)
    assert met


async def test_shut_down_by_its_administrator(server: Postgres, database: Database) -> None:
    running = await _busy(database, database)
    await asyncio.to_thread(server.stop)
    assert is_outage(await _outcome(running))


async def test_a_connection_the_administrator_ends(server: Postgres, database: Database) -> None:
    running = await _busy(database, database)
    victims = "FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    await _ask(database, f"SELECT count(pg_terminate_backend(pid)) {victims}")
    assert is_outage(await _outcome(running))
    assert await _ask(database, "SELECT 1") == 1  # the next one is new


async def test_frozen(server: Postgres) -> None:
    database = Database(server.url())
    server.child.pause()
    try:
        assert is_outage(await _outcome(asyncio.create_task(_ask(database, "SELECT 1"))))
    finally:
        server.child.resume()
        await database.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace(urlsplit(url).password or "", "wrong"),  # the password was changed
        lambda url: url + "_not_yet",  # the database is not made yet
    ],
)
async def test_no_way_in(server: Postgres, change: object) -> None:
    database = Database(change(server.url()))  # type: ignore[operator]
    assert is_outage(await _outcome(asyncio.create_task(_ask(database, "SELECT 1"))))
    await database.close()


async def test_deadlocks_and_statements_that_are_cancelled(server: Postgres, database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE t AS SELECT 1 AS id UNION SELECT 2"))
    both = asyncio.Barrier(2)

    async def lock(*order: int) -> None:
        async with database.transaction() as session:
            for number in order:
                await session.execute(text("SELECT 1 FROM t WHERE id = :id FOR UPDATE"), {"id": number})
                if number == order[0]:
                    await both.wait()

    found = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert [is_outage(error) for error in found if error] == [True]
    with pytest.raises(Exception, match="statement timeout") as caught:
        async with database.transaction() as session:
            await session.execute(text("SET LOCAL statement_timeout = 10"))
            await session.execute(text("SELECT pg_sleep(5)"))
    assert is_outage(caught.value)
