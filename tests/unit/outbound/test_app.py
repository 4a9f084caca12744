"""The service as the process runs it: wired by `build`, fed by the bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from deploy.stack.ports import free_port
from services.common.ami import Address, AmiLink
from services.common.bus import emit
from services.common.events import ContactWithdrawn, Event
from services.common.service import Kernel, Process, running
from services.common.settings import Settings
from services.outbound.app import build
from services.outbound.calls import EVENT_NAMES, KeyPressed
from services.outbound.pbx import Pbx
from tests.support.tables import create_tables
from tests.unit.outbound.rig import DEADLINE, NUMBER, Told, requested, settings_for


def asterisk_that_is_away(directory: Path) -> Settings:
    return settings_for(
        directory, pbx="asterisk", ami_port=free_port(), ami_user="movecar", ami_secret="for the test"
    )


async def tell(kernel: Kernel, *events: Event) -> None:
    async with kernel.database.transaction() as session:
        await emit(session, *events)


@contextlib.asynccontextmanager
async def process_on(settings: Settings) -> AsyncIterator[Process]:
    kernel = Kernel.build(settings)
    await create_tables(kernel.database)
    async with running(Process(kernel, [build(kernel)], "127.0.0.1:0")) as process:
        yield process


async def test_requests_on_the_bus_come_back_as_conclusions(tmp_path: Path) -> None:
    async with process_on(settings_for(tmp_path)) as process:
        kernel = process.kernel
        told = Told(kernel.database)
        wanted = {digit: requested(kernel.keys, [NUMBER + digit]) for digit in "056"}
        wanted["1"] = requested(kernel.keys, [NUMBER + "1"], mode="bridge")
        await tell(kernel, *wanted.values())
        found = {digit: await told.conclusion(event.contact_id) for digit, event in wanted.items()}
    assert found == {"0": "agreed", "5": "disputed", "6": "exhausted", "1": "agreed"}


async def test_a_withdrawal_on_the_bus_cancels_what_is_queued(tmp_path: Path) -> None:
    async with process_on(asterisk_that_is_away(tmp_path)) as process:
        kernel = process.kernel
        told = Told(kernel.database)
        request = requested(kernel.keys, [NUMBER + "0"])
        withdrawal = ContactWithdrawn(
            occurred_at=kernel.clock.now(), case_id=request.case_id, contact_id=request.contact_id
        )
        await tell(kernel, request, withdrawal)
        ended = await told.reached(request.contact_id, "ended")
        assert (ended.outcome, ended.dialed_at) == (None, None)


async def test_the_service_is_ready_when_calls_can_be_placed(tmp_path: Path) -> None:
    async with process_on(settings_for(tmp_path)) as process:
        told = Told(process.kernel.database)
        request = requested(process.kernel.keys, [NUMBER + "0"])
        await tell(process.kernel, request)
        await told.conclusion(request.contact_id)
        assert await process.problems() == {}


async def test_without_a_link_to_the_pbx_the_service_is_not_ready_and_says_why(tmp_path: Path) -> None:
    async with process_on(asterisk_that_is_away(tmp_path)) as process:
        problems = await process.problems()
        assert problems.keys() == {"pbx", "prompts"}
        assert problems["prompts"].startswith("MOVECAR_PROMPTS_DIR is not set")
        assert problems["pbx"].startswith("link to the PBX is down: ")


async def test_any_client_can_try_the_sandbox_when_an_account_is_given(tmp_path: Path) -> None:
    port = free_port()
    settings = settings_for(tmp_path, ami_port=port, ami_user="tester", ami_secret="for the test")
    async with process_on(settings) as process:
        link = AmiLink(Address("127.0.0.1", port), "tester", "for the test", wanted=EVENT_NAMES)
        client = Pbx(link)
        up = asyncio.create_task(client.run())
        request = requested(process.kernel.keys, [NUMBER + "5"])
        await tell(process.kernel, request)
        async with asyncio.timeout(DEADLINE):
            async for notice in client.stream():
                if isinstance(notice, tuple) and any(isinstance(event, KeyPressed) for event in notice):
                    break
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)


async def test_operations_see_the_calls_in_the_metrics(tmp_path: Path) -> None:
    async with process_on(settings_for(tmp_path)) as process:
        told = Told(process.kernel.database)
        request = requested(process.kernel.keys, [NUMBER + "8"])
        await tell(process.kernel, request)
        await told.conclusion(request.contact_id)
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{process.address}/metrics") as answer,
        ):
            text = await answer.text()
    assert 'movecar_attempts_total{outcome="declined"}' in text
    assert "movecar_pbx_up 1.0" in text
    assert "movecar_queue_age_seconds" in text
