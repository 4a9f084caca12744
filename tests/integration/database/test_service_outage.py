"""A service whose database is away says so, harms nothing, and goes on by itself when it is back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from deploy.stack.postgres import Postgres
from services.common.service import Kernel, Service
from tests.support.events import eventually
from tests.support.running import Client, serving, settings_for
from tests.unit.common.http.conftest import THINGS, Shop, build


@pytest.fixture
def server(server_home: Path, tmp_path: Path) -> Iterator[Postgres]:
    """A server that this test may kill."""
    server = Postgres(server_home / f"service-{tmp_path.name}", durable=False)
    server.start()
    server.ensure_database()
    yield server
    server.stop()


async def test_requests_in_an_outage_are_refused_and_later_ones_served(
    server: Postgres, tmp_path: Path
) -> None:
    shops: list[Shop] = []

    def open_shop(kernel: Kernel) -> Service:
        shops.append(Shop(kernel))
        return build(shops[0])

    settings = settings_for(tmp_path, database_url=server.url())
    async with serving(settings, [open_shop]) as process, Client(process.address) as client:
        async with process.kernel.database.engine.begin() as connection:
            await connection.run_sync(THINGS.metadata.create_all)
        client.become(process, "operator")
        key = {"Idempotency-Key": "k1"}
        assert (await client.post("/things", {"name": "前"}))[0] == 201

        await asyncio.to_thread(server.kill)
        url = f"{client.base}/api/v1/things"
        async with client.http.post(url, json={"name": "中"}, headers=key) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "2"
            assert (await response.json())["code"] == "temporarily_unavailable"
        assert await _ready(process.address) == (503, ["database"])
        async with client.http.get(f"{client.base}/livez") as response:
            assert response.status == 200  # a supervisor must not restart it for this

        await asyncio.to_thread(server.start)

        async def served() -> bool:
            return (await client.post("/things", {"name": "中"}, headers=key))[0] == 201

        await eventually(served)
        assert await shops[0].names() == ["前", "中"]
        assert await _ready(process.address) == (200, [])


async def _ready(address: str) -> tuple[int, list[str]]:
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}/readyz") as response:
        return response.status, list((await response.json())["problems"])
