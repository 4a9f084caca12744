"""A database of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from services.common.database import Database


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_url)
    yield database
    await database.close()
