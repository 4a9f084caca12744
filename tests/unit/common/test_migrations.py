"""The same tests run on PostgreSQL in tests/integration/database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.database import Database
from services.common.migrations import SchemaOutdated, current, head, require_current
from tests.contract.migrations import (
    check_downgrade_leaves_nothing,
    check_tables_are_those_of_the_models,
    check_upgrade_can_be_repeated,
    check_what_was_filed_is_guarded,
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}")
    yield database
    await database.close()


async def test_the_migrated_tables_are_those_of_the_models(database: Database) -> None:
    await check_tables_are_those_of_the_models(database)


async def test_a_downgrade_leaves_nothing_behind(database: Database) -> None:
    await check_downgrade_leaves_nothing(database)


async def test_an_upgrade_can_be_repeated(database: Database) -> None:
    await check_upgrade_can_be_repeated(database)


async def test_an_outdated_database_says_what_to_run(database: Database) -> None:
    assert await current(database) is None
    with pytest.raises(SchemaOutdated, match=f"needs {head()}: run  python -m services migrate"):
        await require_current(database)


async def test_what_was_filed_cannot_be_rewritten(database: Database) -> None:
    await check_what_was_filed_is_guarded(database)
