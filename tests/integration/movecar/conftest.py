from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.service import Process
from services.movecar.app import build
from services.movecar.registry.demo import DEMO_CSV
from tests.support.running import Client, serving, settings_for


@pytest.fixture
async def movecar(tmp_path: Path, postgres_url: str) -> AsyncIterator[Process]:
    """The operator's side alone, on PostgreSQL."""
    settings = settings_for(tmp_path, database_url=postgres_url, registry_csv=DEMO_CSV)
    async with serving(settings, [build]) as process:
        yield process


@pytest.fixture
async def operator(movecar: Process) -> AsyncIterator[Client]:
    async with Client(movecar.address) as client:
        yield client.become(movecar, "operator")
