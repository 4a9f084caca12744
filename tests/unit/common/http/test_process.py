"""A process: alive, ready or not and why, measured, and stopped in order."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.common.http.server import HttpServer, make_application
from services.common.service import Kernel, Process, Service, running
from tests.support.running import Client, serving, settings_for
from tests.support.tables import create_tables
from tests.unit.common.http.conftest import Running


async def _get(address: str, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}{path}") as response:
        return response.status, await response.json()


async def test_alive_and_ready(running: Running) -> None:
    assert await _get(running.address, "/livez") == (200, {"status": "alive"})
    ready = {"status": "ready", "problems": {}, "warnings": {}}
    assert await _get(running.address, "/readyz") == (200, ready)


async def test_a_warning_is_named_and_the_process_stays_ready(tmp_path: Path) -> None:
    async def less() -> str | None:
        return "main/second: sip_503"

    service = Service("outbound", warnings={"trunks_out": less})
    async with serving(settings_for(tmp_path), [lambda _: service]) as process:
        status, report = await _get(process.address, "/readyz")
        assert (status, report["warnings"]) == (200, {"trunks_out": "main/second: sip_503"})


async def test_not_ready_says_which_part_and_stays_alive(tmp_path: Path) -> None:
    async def gone() -> str | None:
        return "no agent is logged in"

    async def broken() -> str | None:
        raise ConnectionRefusedError("10.0.0.1: owner 13900000005")

    async def fine() -> str | None:
        return None

    async def stuck() -> str | None:
        await asyncio.Event().wait()
        return None

    checks = {"seats": gone, "registry": broken, "caller": fine, "pbx": stuck}
    async with serving(settings_for(tmp_path), [lambda _: Service("movecar", checks=checks)]) as process:
        assert await _get(process.address, "/readyz") == (
            503,
            {
                "status": "not ready",
                "problems": {
                    "seats": "no agent is logged in",
                    "registry": "ConnectionRefusedError",  # the message stays in the log
                    "pbx": "no answer within 3 s",
                },
                "warnings": {},
            },
        )
        assert (await _get(process.address, "/livez"))[0] == 200


async def test_a_database_that_is_away_is_a_503_and_not_ready(running: Running, operator: Client) -> None:
    async def refuse() -> float:
        raise ConnectionRefusedError

    running.process.kernel.database.ping = refuse  # type: ignore[method-assign]
    status, report = await _get(running.address, "/readyz")
    assert (status, report["problems"]) == (503, {"database": "ConnectionRefusedError"})


async def test_metrics_count_requests_by_route_and_not_by_id(running: Running, operator: Client) -> None:
    for name in ("one", "two"):
        await operator.get(f"/things/{name}")
    await operator.get("/no/such/path")
    async with aiohttp.ClientSession() as http, http.get(f"http://{running.address}/metrics") as response:
        assert response.content_type == "text/plain"
        lines = (await response.text()).splitlines()
    route = 'movecar_http_requests_total{method="GET",route="/api/v1/things/{name}",status="404"}'
    assert any(line.startswith(route) for line in lines)
    assert any('route="unmatched"' in line for line in lines)
    assert not any("/things/one" in line or "/no/such" in line for line in lines)


async def test_parts_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    steps: list[str] = []

    def part(name: str) -> Service:
        async def start() -> None:
            steps.append(f"start {name}")

        async def close() -> None:
            steps.append(f"close {name}")

        return Service(name, start=start, close=close)

    settings = settings_for(tmp_path)
    kernel = Kernel.build(settings)
    await create_tables(kernel.database)
    async with running_of(kernel, [part("outbound"), part("movecar")]):
        pass
    assert steps == ["start outbound", "start movecar", "close movecar", "close outbound"]


async def test_a_start_that_fails_half_way_leaves_nothing_running(tmp_path: Path) -> None:
    async def fail() -> None:
        raise RuntimeError("cannot start")

    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    kernel = Kernel.build(settings_for(tmp_path))
    await create_tables(kernel.database)
    with pytest.raises(RuntimeError, match="cannot start"):
        async with running_of(kernel, [Service("outbound", close=close), Service("movecar", start=fail)]):
            pass
    assert closed.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_an_address_in_use_stops_the_start(tmp_path: Path) -> None:
    first = HttpServer(make_application([]), "127.0.0.1:0")
    address = await first.start()
    kernel = Kernel.build(settings_for(tmp_path, listen=address))
    await create_tables(kernel.database)
    with pytest.raises(OSError, match="address already in use"):
        async with running(Process(kernel, [Service("movecar")], address)):
            pass
    await first.close()


async def test_an_ipv6_address_can_be_called_back() -> None:
    server = HttpServer(make_application([]), "[::1]:0")
    address = await server.start()
    assert (await _get_status(address)) == 404
    await server.close()


async def _get_status(address: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}/") as response:
        return response.status


def running_of(kernel: Kernel, services: list[Service]) -> Any:
    """Run these services on a free port."""
    return running(Process(kernel, services, "127.0.0.1:0"))
