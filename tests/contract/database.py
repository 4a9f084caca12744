"""What `services.common.database` promises on SQLite and on PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError, StatementError

from services.common.bus import emit
from services.common.database import (
    Database,
    UtcDateTime,
    insert_ignoring_duplicates,
    is_outage,
    rows_changed,
)
from services.common.membership import among
from services.common.models import LogPosition
from tests.support.events import event
from tests.support.tables import create_tables

_metadata = MetaData()
THINGS = Table(
    "things",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(20), unique=True),
    Column("mark", LargeBinary),
    Column("value", Integer),
    Column("moment", UtcDateTime),
    Column("data", JSON),
    Column("parent", Integer, ForeignKey("things.id")),
)


async def create_things(database: Database) -> None:
    """Create the tables these tests use."""
    await create_tables(database)
    async with database.engine.begin() as connection:
        await connection.run_sync(_metadata.create_all)


NAMED = select(THINGS.c.id).where(among(THINGS.c.name, "names")).order_by(THINGS.c.id)
MARKED = select(THINGS.c.id).where(among(THINGS.c.mark, "marks"), THINGS.c.value > bindparam("above"))


class DatabaseContract:
    """Inherited by one test class for each database, which supplies `database` with the things in it."""

    @pytest.mark.parametrize(
        ("names", "found"),
        [
            ([], []),
            (["none"], []),
            (["b"], [2]),
            (["c", "a"], [1, 3]),
            (["a", "a"], [1]),  # named twice, found once
            (["a", "b", "c", *(f"no {number}" for number in range(3000))], [1, 2, 3]),
            (["a'); DROP TABLE things; --", "b"], [2]),
        ],
    )
    async def test_rows_are_found_by_a_list_of_any_length(
        self, database: Database, names: list[str], found: list[int]
    ) -> None:
        for number, name in enumerate("abc", start=1):
            await _put(database, id=number, name=name, value=number)
        async with database.reading() as session:
            for _ in range(2):  # the second time by the statement as it was kept
                assert list(await session.scalars(NAMED, {"names": names})) == found
            assert list(await session.scalars(NAMED, {"names": ["a"]})) == [1]

    async def test_a_list_may_be_of_bytes_and_stand_beside_other_conditions(self, database: Database) -> None:
        for number in (1, 2, 3):
            await _put(database, id=number, name=str(number), value=number, mark=bytes([number, 0, 255]))
        wanted = {"marks": [b"\x01\x00\xff", b"\x03\x00\xff"], "above": 1}
        async with database.transaction() as session:
            assert list(await session.scalars(MARKED, wanted)) == [3]
            changed = await session.execute(
                update(THINGS).where(among(THINGS.c.mark, "marks")).values(value=9),
                {"marks": wanted["marks"]},
            )
            assert rows_changed(changed) == 2

    async def test_a_hundred_concurrent_read_modify_writes_keep_a_hundred(self, database: Database) -> None:
        await _put(database, id=1, value=0)

        async def increase() -> None:
            async with database.transaction() as session:
                value = await session.scalar(select(THINGS.c.value).with_for_update())
                await asyncio.sleep(0)
                await session.execute(update(THINGS).values(value=(value or 0) + 1))

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(increase())
        assert await _get(database, "value") == 100

    async def test_of_many_guarded_changes_one_wins(self, database: Database) -> None:
        await _put(database, id=1, value=0)

        async def claim(value: int) -> int:
            async with database.transaction() as session:
                statement = update(THINGS).where(THINGS.c.value == 0).values(value=value)
                return rows_changed(await session.execute(statement))

        won = await asyncio.gather(*(claim(value) for value in range(1, 21)))
        assert sum(won) == 1
        assert await _get(database, "value") == won.index(1) + 1

    @pytest.mark.parametrize(
        "moment",
        [
            datetime(2026, 4, 1, 0, 0, 0, 123456, tzinfo=UTC),
            datetime(2026, 4, 1, 8, 0, tzinfo=timezone(timedelta(hours=8))),  # as people write it here
            datetime(2026, 4, 1, 23, 59, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
        ],
    )
    async def test_a_moment_comes_back_aware_and_in_utc(self, database: Database, moment: datetime) -> None:
        await _put(database, id=1, moment=moment)
        found = await _get(database, "moment")
        assert found == moment
        assert isinstance(found, datetime)
        assert found.utcoffset() == timedelta(0)
        async with database.reading() as session:
            later = moment + timedelta(microseconds=1)
            assert await session.scalar(select(THINGS.c.id).where(THINGS.c.moment < later)) == 1

    async def test_a_naive_moment_is_refused(self, database: Database) -> None:
        with pytest.raises(StatementError, match="naive"):
            await _put(database, id=1, moment=datetime(2026, 4, 1))  # noqa: DTZ001

    async def test_foreign_keys_are_enforced(self, database: Database) -> None:
        with pytest.raises(IntegrityError):
            await _put(database, id=1, parent=2)

    async def test_json_keeps_every_kind_of_value(self, database: Database) -> None:
        data = {"文": ["苏D10001", 1, 2.5, True, None, {"深": "\x00"}]}
        await _put(database, id=1, data=data)
        assert await _get(database, "data") == data

    async def test_what_raises_is_undone(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as session:
                await session.execute(insert(THINGS).values(id=1))
                raise ZeroDivisionError
        assert await _get(database, "id") is None

    async def test_a_duplicate_is_ignored_and_counted_as_no_row(self, database: Database) -> None:
        changed = []
        for value in (1, 2):
            async with database.transaction() as session:
                statement = insert_ignoring_duplicates(session, THINGS, {"name": "one", "value": value})
                changed.append(rows_changed(await session.execute(statement)))
        assert changed == [1, 0]
        assert await _get(database, "value") == 1

    async def test_what_was_read_can_be_used_after_reading(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(LogPosition(name="x", last=7))
        async with database.reading() as session:
            found = await session.scalar(select(LogPosition))
        assert found is not None
        assert found.last == 7

    async def test_reading_sees_what_is_committed_while_a_writer_is_busy(self, database: Database) -> None:
        await _put(database, id=1, value=1)
        async with database.transaction() as session:
            await session.execute(update(THINGS).values(value=2))
            async with asyncio.timeout(5):
                assert await _get(database, "value") == 1
                assert await database.ping() < 5
        assert await _get(database, "value") == 2

    async def test_writing_in_a_reading_session_is_refused(self, database: Database) -> None:
        async with database.reading() as session:
            with pytest.raises(InvalidRequestError, match="transaction"):
                await session.execute(insert(THINGS).values(id=1))
            session.add(LogPosition(name="x", last=7))
            with pytest.raises(InvalidRequestError, match="transaction"):
                await session.flush()
        assert await _get(database, "id") is None

    async def test_listeners_hear_of_committed_events_only(self, database: Database) -> None:
        heard: list[int] = []
        database.on_commit(lambda _: heard.append(1))
        await _put(database, id=1)  # no event
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as session:
                await emit(session, event("case", 1))
                raise ZeroDivisionError
        assert heard == []
        async with database.transaction() as session:
            await emit(session, event("case", 1), event("case", 2))
            assert heard == []
        assert heard == [1]

    @pytest.mark.parametrize(
        ("statement", "values"),
        [
            ("SELEC", {}),  # syntax
            ("SELECT * FROM nowhere", {}),
            ("INSERT INTO things (id) VALUES (1), (1)", {}),  # a constraint
            # Hostile text that spells an outage must not be taken for one.
            ("INSERT INTO things (name) VALUES ('database is locked'), ('database is locked')", {}),
            ("INSERT INTO things (name) VALUES ('AdminShutdown'), ('AdminShutdown')", {}),
        ],
    )
    async def test_a_wrong_statement_is_no_outage(
        self, database: Database, statement: str, values: dict[str, object]
    ) -> None:
        with pytest.raises(DBAPIError) as caught:
            async with database.transaction() as session:
                await session.execute(text(statement), values)
        assert not is_outage(caught.value)

    @pytest.mark.parametrize("value", [2**63, -(2**80), "\ud800", object()])
    async def test_a_value_that_cannot_be_stored_is_no_outage(
        self, database: Database, value: object
    ) -> None:
        column = THINGS.c.name if isinstance(value, str) else THINGS.c.value
        with pytest.raises(Exception, match=r".") as caught:
            await _put(database, **{column.name: value})
        assert not is_outage(caught.value)

    async def test_errors_do_not_carry_the_values_of_a_statement(self, database: Database) -> None:
        with pytest.raises(IntegrityError) as caught:
            async with database.transaction() as session:
                for number in (1, 2):
                    await session.execute(insert(THINGS).values(id=number, name="x", data="13900000005"))
        assert "13900000005" not in str(caught.value)


async def _put(database: Database, **values: object) -> None:
    async with database.transaction() as session:
        await session.execute(insert(THINGS).values(**values))


async def _get(database: Database, column: str) -> object:
    async with database.reading() as session:
        return await session.scalar(select(THINGS.c[column]))
