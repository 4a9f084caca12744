"""What migrations promise on every database."""

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

import services.__main__  # imports every module of tables
from services.common.database import Base, Database
from services.common.migrations import current, downgrade, head, upgrade
from services.outbound.scripts.contract import file_contract_script

assert services.__main__.app is not None


async def check_tables_are_those_of_the_models(database: Database) -> None:
    """After an upgrade there is nothing left that autogenerate would change."""
    await upgrade(database)

    def difference(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(difference) == []


async def check_downgrade_leaves_nothing(database: Database) -> None:
    """Down to the base and up again, as an operator would after a failed upgrade."""
    await upgrade(database)
    await downgrade(database, "base")
    async with database.engine.connect() as connection:
        left = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert left == ["alembic_version"]
    await upgrade(database)
    assert await current(database) == head()


async def check_upgrade_can_be_repeated(database: Database) -> None:
    """Starting the same version twice changes nothing."""
    await upgrade(database)
    await upgrade(database)
    assert await current(database) == head()


async def check_what_was_filed_is_guarded(database: Database) -> None:
    """A migrated database refuses to rewrite call scripts and their history, as one made from the models."""
    await upgrade(database)
    async with database.transaction() as session:
        await file_contract_script(session, datetime.now(UTC))
    for edit in (
        "UPDATE outbound_call_scripts SET greeting = 'x'",
        "UPDATE outbound_call_scripts SET state = 'draft'",
        "DELETE FROM outbound_call_scripts",
        "UPDATE outbound_call_script_history SET action = 'x'",
        "DELETE FROM outbound_call_script_history",
    ):
        with pytest.raises(DBAPIError, match="never edited"):
            async with database.transaction() as session:
                await session.execute(text(edit))
