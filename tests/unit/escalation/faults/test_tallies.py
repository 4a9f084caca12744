"""What an outage cost, asked of the other services: of real ones, and of what only seems to be one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from deploy.stack.ports import free_port
from services.common.crypto import Keys
from services.common.http.auth import Tokens
from services.common.service import Kernel, Process
from services.escalation.app import build as build_escalation
from services.escalation.faults.losses import Losses
from services.escalation.faults.records import Fault
from services.escalation.faults.tallies import Tallies
from services.escalation.faults.toll import NOTHING_KNOWN
from services.movecar.app import build as build_movecar
from services.movecar.app import build_with_neighbours
from services.outbound.app import build as build_outbound
from tests.support.cases import open_until
from tests.support.running import Client, serving, settings_for
from tests.support.tables import create_tables

QUICK = {"sandbox_speed": 100, "redial": {"busy": [], "no_answer": [], "congestion": [], "hung_up": []}}
COUNTED = {"opened": 7, "lookups_failed": 0, "to_person": 0, "to_desk": 0, "undelivered": 0}
CALLED = {"placed": 9, "failed": 0, "unknown": 0, "under_way": 0, "waiting": 0}
WAIT = 2.0
CASES = "受理2件，车辆查询失败0次，因故障转人工0件，逾时转接警台0件"
NOT_A_CASE, NOT_A_CALL = "受理情况不明", "呼叫车主情况不明"


def patient(kernel: Kernel) -> Losses:
    """One that waits as long as a busy machine takes: these tests are not about time."""
    return Losses(kernel.database, Tallies(kernel).of, seconds=60)


def hurried(kernel: Kernel) -> Losses:
    """One that waits for a while; a neighbour that is well answers within it on a busy machine too."""
    return Losses(kernel.database, Tallies(kernel).of, seconds=WAIT)


@asynccontextmanager
async def outage(process: Process) -> AsyncIterator[Fault]:
    """A fault of movecar as long as the block, in which owners are called; its figures are complete after."""
    began = process.kernel.clock.now() - timedelta(milliseconds=1)
    fault = Fault("f", "movecar", "", began, began, "probe", "desk")
    async with Client(process.address) as operator:
        await operator.log_in("op1", process.kernel.settings.demo_password.get_secret_value())
        await open_until(operator, "苏D10001", {"notified", "closed"})
        await open_until(operator, "苏D10005", "escalated")
    yield fault


async def test_in_one_process_every_figure_is_known(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, demo_password="a password for this test", **QUICK)
    async with (
        serving(settings, [build_movecar, build_outbound, build_escalation]) as process,
        outage(process) as fault,
    ):
        kernel = process.kernel
        async with Client(process.address) as client, asyncio.timeout(60):
            client.become(process, "supervisor")
            while not (await client.get("/cases?status=escalated"))[1]["items"][0]["escalation"]["seq"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        over = replace(fault, recovered_at=kernel.clock.now())
        said = await patient(kernel)(over)
        assert said.startswith(f"故障期间：{CASES}，待送达接警台0件；呼叫车主2次，失败0次")
        assert "移交110案件1件，其中迟到0件" in said
        assert "不明；" not in said


async def test_of_other_processes_the_same_is_known_at_their_addresses(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, demo_password="a password for this test", **QUICK)
    async with serving(settings, [build_movecar, build_outbound]) as process, outage(process) as fault:
        elsewhere = settings.model_copy(
            update={"listen": process.address, "outbound_listen": process.address}
        )
        kernel = Kernel.build(elsewhere)
        over = replace(fault, recovered_at=kernel.clock.now())
        said = await patient(kernel)(over)
        # Nobody has taken the disputed one to the desk.
        assert said.startswith(f"故障期间：{CASES}，待送达接警台1件；呼叫车主2次，失败0次")
        # One that speaks for another installation is a stranger to them.
        stranger = replace(kernel, tokens=Tokens(Keys.from_secret("b" * 40), kernel.clock))
        said = await patient(stranger)(over)
        assert said.startswith(f"故障期间：{NOT_A_CASE}；{NOT_A_CALL}；")
        await kernel.database.close()


async def test_a_person_reads_the_figures_of_each_at_one_address(tmp_path: Path) -> None:
    for name in ("movecar", "outbound"):
        (tmp_path / name).mkdir()
    there = settings_for(tmp_path / "outbound")
    async with serving(there, [build_outbound]) as outbound:
        here = settings_for(tmp_path / "movecar", outbound_listen=outbound.address)
        async with serving(here, [build_with_neighbours]) as movecar, Client(movecar.address) as client:
            client.become(movecar, "supervisor")
            span = {"from": "2026-04-01T08:00:00+08:00", "to": "2026-04-01T09:00:00+08:00"}
            for service, figure in (("movecar", "opened"), ("outbound", "placed")):
                status, found = await client.get(f"/tallies/{service}", params=span)
                assert (status, found[figure]) == (200, 0)


@asynccontextmanager
async def answering(port: int, **answers: object) -> AsyncIterator[None]:
    """Something at an address that answers for each service: a status, a body, or `hang`."""
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        said = answers[request.match_info["service"]]
        if said == "hang":
            await over.wait()
        if isinstance(said, bytes):
            return web.Response(body=said, content_type="application/json")
        if isinstance(said, int):
            return web.Response(status=said, headers={"Location": "/api/v1/tallies/right"})
        return web.json_response(said)

    application = web.Application()
    application.router.add_get("/api/v1/tallies/{service}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        over.set()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("movecar", "outbound", "not_known"),
    [
        (COUNTED, CALLED, set()),
        # one more than is looked for is no matter
        (COUNTED | {"new": 1}, CALLED | {"unrecorded": None}, set()),
        # it takes the question and never answers
        ("hang", CALLED, {NOT_A_CASE}),
        (COUNTED, "hang", {NOT_A_CALL}),
        ("hang", "hang", {NOT_A_CASE, NOT_A_CALL}),
        # it refuses, fails, leads elsewhere
        (403, CALLED, {NOT_A_CASE}),
        (COUNTED, 503, {NOT_A_CALL}),
        (302, CALLED, {NOT_A_CASE}),
        # what it answers is no figures, not all of them, or without end
        (b"\xff{", CALLED, {NOT_A_CASE}),
        (b"[]", CALLED, {NOT_A_CASE}),
        (COUNTED | {"opened": -1}, CALLED, {NOT_A_CASE}),
        (COUNTED, {"placed": 9}, {NOT_A_CALL}),
        (COUNTED, b" " * 1_000_000, {NOT_A_CALL}),
    ],
)
async def test_who_cannot_be_heard_is_named_and_holds_nobody_up(
    tmp_path: Path, movecar: object, outbound: object, not_known: set[str]
) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    kernel = Kernel.build(settings_for(tmp_path, listen=address, outbound_listen=address))
    await create_tables(kernel.database)
    now = kernel.clock.now()
    fault = Fault("f", "database", "", now, now, "probe", "desk", recovered_at=now)
    async with answering(port, movecar=movecar, outbound=outbound, right=COUNTED):
        started = time.monotonic()
        said = await hurried(kernel)(fault)
        # They are waited for together, not one after the other.
        assert time.monotonic() - started < 2 * WAIT
    assert {one for one in (NOT_A_CASE, NOT_A_CALL) if one in said} == not_known
    assert ("受理7件" in said) == (NOT_A_CASE not in not_known)
    assert ("呼叫车主9次" in said) == (NOT_A_CALL not in not_known)
    assert "移交110案件0件" in said
    await kernel.database.close()


async def test_parts_that_recover_together_wait_once_for_who_is_silent(tmp_path: Path) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    kernel = Kernel.build(settings_for(tmp_path, listen=address, outbound_listen=address))
    await create_tables(kernel.database)
    now = kernel.clock.now()
    fault = Fault("f", "database", "", now, now, "probe", "desk", recovered_at=now)
    losses = hurried(kernel)
    async with answering(port, movecar="hang", outbound=CALLED):
        started = time.monotonic()
        said = {await losses(fault) for _ in range(4)}
        assert time.monotonic() - started < 2 * WAIT
    (sentence,) = said
    assert NOT_A_CASE in sentence
    assert "呼叫车主9次" in sentence
    await kernel.database.close()


async def test_a_start_after_everything_was_down_says_what_that_cost(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, demo_password="a password for this test", **QUICK)
    everything = [build_movecar, build_outbound, build_escalation]
    async with serving(settings, everything) as process, outage(process) as fault:
        now = process.kernel.clock.now()
    # Wired again, and nobody listens yet: that is when the gap since the last beat is told.
    kernel = Kernel.build(settings)
    Process(kernel, [build(kernel) for build in everything], settings.listen)
    said = await patient(kernel)(replace(fault, recovered_at=now))
    assert said.startswith(f"故障期间：{CASES}，")
    assert "情况不明" not in said
    await kernel.database.close()
    await kernel.bus.close()


async def test_with_nobody_there_and_no_database_nothing_is_known(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    url = f"postgresql+asyncpg://nobody@{away}/none"
    kernel = Kernel.build(settings_for(tmp_path, listen=away, outbound_listen=away, database_url=url))
    now = kernel.clock.now()
    fault = Fault("f", "database", "", now, now, "probe", "desk", recovered_at=now)
    assert await hurried(kernel)(fault) == NOTHING_KNOWN
    await kernel.database.close()
