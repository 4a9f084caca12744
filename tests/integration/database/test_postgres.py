"""PostgreSQL is held to the same contract as SQLite."""

import pytest

from services.common.database import Database
from tests.contract.database import DatabaseContract, create_things
from tests.contract.migrations import (
    check_downgrade_leaves_nothing,
    check_tables_are_those_of_the_models,
    check_upgrade_can_be_repeated,
    check_what_was_filed_is_guarded,
)


class TestPostgresql(DatabaseContract):
    @pytest.fixture
    async def database(self, empty: Database) -> Database:
        await create_things(empty)
        return empty


async def test_the_migrated_tables_are_those_of_the_models(empty: Database) -> None:
    await check_tables_are_those_of_the_models(empty)


async def test_a_downgrade_leaves_nothing_behind(empty: Database) -> None:
    await check_downgrade_leaves_nothing(empty)


async def test_an_upgrade_can_be_repeated(empty: Database) -> None:
    await check_upgrade_can_be_repeated(empty)


async def test_what_was_filed_cannot_be_rewritten(empty: Database) -> None:
    await check_what_was_filed_is_guarded(empty)
