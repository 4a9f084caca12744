from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.service import Process
from services.movecar.app import build
from tests.support.running import Client, serving, settings_for


@pytest.fixture
async def movecar(tmp_path: Path) -> AsyncIterator[Process]:
    """The operator's side alone: nobody places calls, so a found case stays in `calling`."""
    async with serving(settings_for(tmp_path), [build]) as process:
        yield process


@pytest.fixture
async def operator(movecar: Process) -> AsyncIterator[Client]:
    async with Client(movecar.address) as client:
        yield client.become(movecar, "operator")
