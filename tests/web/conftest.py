from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from services.common.http.auth import COOKIE
from services.common.service import Process
from tests.support.running import Client
from tests.web.browser import WINDOW, Watch, demo_settings, everything, launched, token_of

expect.set_options(
    timeout=30_000
)  # a page draws when the machine has time for it; bounds are given where they matter

OpenPage = Callable[[str], Awaitable[Page]]
"""Opens a page in a browser of its own, logged in as a demo account."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Settings of the product that a module wants otherwise."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def product(tmp_path: Path, overrides: dict[str, Any]) -> AsyncIterator[Process]:
    """The three services in one process, with the console."""
    async with everything(demo_settings(tmp_path, **overrides)) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="session")
async def watch(product: Process) -> AsyncIterator[Watch]:
    """Fails the test if a page raised an error, broke its policy or asked another host for anything."""
    watch = Watch({product.address})
    yield watch
    assert watch.wrong == []


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(product: Process, browser: Browser, watch: Watch) -> AsyncIterator[OpenPage]:
    contexts = []

    async def open_one(username: str) -> Page:
        context = await browser.new_context(viewport=WINDOW, locale="zh-CN", timezone_id="America/New_York")
        contexts.append(context)
        token = await token_of(product, username)
        await context.add_cookies([{"name": COOKIE, "value": token, "url": f"http://{product.address}"}])
        page = await context.new_page()
        watch.on(page)
        await page.goto(f"http://{product.address}/")
        await page.get_by_role("button", name="退出").wait_for()
        return page

    yield open_one
    for context in contexts:
        for page in context.pages:
            await page.unroute_all(behavior="ignoreErrors")  # answers may still be under way
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(open_page: OpenPage) -> Page:
    """The console of operator op1."""
    return await open_page("op1")


@pytest_asyncio.fixture(loop_scope="session")
async def desk(open_page: OpenPage) -> Page:
    """The console of the 110 desk."""
    return await open_page("desk1")


@pytest_asyncio.fixture(loop_scope="session")
async def api(product: Process) -> AsyncIterator[Client]:
    """Another operator, op2, who works without a browser."""
    async with Client(product.address) as client:
        client.http.headers["Authorization"] = f"Bearer {await token_of(product, 'op2')}"
        yield client
