from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from deploy.stack.ports import free_port
from services.common.service import Process
from tests.support.running import Client
from tests.web.browser import PASSWORD, WINDOW, Watch, card, demo_settings, everything, log_in
from tests.web.line import Line

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def line(product: Process) -> AsyncIterator[Line]:
    async with Line(product.address) as line:
        yield line


async def page_behind(line: Line, browser: Browser, watch: Watch, username: str) -> Page:
    watch.hosts.add(line.address)
    page = await (await browser.new_context(viewport=WINDOW)).new_page()
    watch.on(page)
    await log_in(page, line.address, username)
    await expect(page.get_by_text("实时")).to_be_visible()
    return page


async def dispute(api: Client, plate: str = "苏D10005") -> None:
    body = {"plate": plate, "location": "花园街12号", "requester_phone": "13912345678"}
    status, _ = await api.post("/cases", body)
    assert status == 201


async def test_consoles_come_back_by_themselves_after_the_server_restarts(
    tmp_path: Path, browser: Browser
) -> None:
    settings = demo_settings(tmp_path, listen=f"127.0.0.1:{free_port()}")
    watch = Watch({settings.listen})
    pages = []
    async with everything(settings):
        for username in ("op1", "desk1"):
            page = await (await browser.new_context(viewport=WINDOW)).new_page()
            watch.on(page)
            await log_in(page, settings.listen, username)
            await expect(page.get_by_text("实时")).to_be_visible()
            pages.append(page)
    for page in pages:
        await expect(page.get_by_text("连接中断，正在重连")).to_be_visible()
    async with everything(settings), Client(settings.listen) as api:
        for page in pages:
            await expect(page.get_by_text("实时")).to_be_visible()
            await expect(page.get_by_text("连接中断，正在重连")).to_be_hidden()
        # The log-in survived, and so did what was on its way.
        await dispute(await api.log_in("op2", PASSWORD))
        for page in pages:
            await expect(card(page, "苏D10005")).to_contain_text("未签收")
            await page.context.close()
    assert watch.wrong == []


@pytest.mark.parametrize("username", ["op1", "desk1"])
async def test_what_happened_while_the_line_was_cut_is_there_afterwards(
    line: Line, browser: Browser, watch: Watch, api: Client, username: str
) -> None:
    page = await page_behind(line, browser, watch, username)
    line.cut()
    await expect(page.get_by_text("连接中断，正在重连")).to_be_visible()
    await dispute(api)
    await expect_escalated(api)
    line.mend()
    await expect(card(page, "苏D10005")).to_contain_text("未签收")
    await expect(page.get_by_text("连接中断，正在重连")).to_be_hidden()
    await page.context.close()


@pytest.mark.parametrize(
    ("username", "patience"),
    [
        ("op1", 41_000),  # two of the server's pings every 15 s are missed
        ("desk1", 26_000),  # two of those every 10 s
    ],
)
async def test_a_line_that_died_without_a_word_is_noticed(
    line: Line, browser: Browser, watch: Watch, api: Client, username: str, patience: int
) -> None:
    page = await (await browser.new_context(viewport=WINDOW)).new_page()
    watch.on(page)
    watch.hosts.add(line.address)
    await page.clock.install()
    await log_in(page, line.address, username)
    await expect(page.get_by_text("实时")).to_be_visible()
    line.silence()
    await dispute(api)
    await expect_escalated(api)
    await page.clock.fast_forward(patience)
    await expect(page.get_by_text("连接中断，正在重连")).to_be_visible()
    line.mend()
    await expect(card(page, "苏D10005")).to_contain_text("未签收")
    await page.context.close()


async def expect_escalated(api: Client) -> None:
    """Wait until the desk has the dispute, by the live stream of a program."""
    async with api.http.get(f"{api.base}/api/v1/events?after=0") as stream:
        async for line in stream.content:
            if line.startswith(b"data:") and b'"status":"escalated"' in line:
                return
