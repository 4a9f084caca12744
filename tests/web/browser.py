"""A real Chromium looking at real services, and what must never happen while it does."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    ViewportSize,
    async_playwright,
)
from sqlalchemy import select

from deploy.stack.packages import chromium
from services.common.http.auth import Principal, Role
from services.common.ids import new_id
from services.common.service import Process
from services.common.settings import Settings
from services.escalation.app import build as build_escalation
from services.movecar.app import build as build_movecar
from services.movecar.people.models import Account
from services.outbound.app import build as build_outbound
from tests.support.running import serving, settings_for

PASSWORD = "demodemo"
WINDOW = ViewportSize(width=1366, height=768)

_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What a browser notes of every answer that is not 2xx, and of a server that is away, is no fault of the page.
_EXPECTED = ("Failed to load resource",)


@dataclass
class Watch:
    """Everything a page did that it must not: mistakes, broken rules of its policy, other hosts."""

    hosts: set[str]
    wrong: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        """Watch a page from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self.hosts:
            self.wrong.append(f"request to {request.url}")


@contextlib.asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Run the system's Chromium for the length of a block. Raises PartMissingError."""
    program = chromium()
    # As root, which containers are, Chromium has no sandbox of its own.
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


def demo_settings(directory: Path, **overrides: Any) -> Settings:
    """Return settings of a demo whose owners react at once."""
    return settings_for(directory, **({"demo_password": PASSWORD, "sandbox_speed": 100} | overrides))


def everything(settings: Settings) -> contextlib.AbstractAsyncContextManager[Process]:
    """Run the three services, console included, in this process."""
    return serving(settings, [build_movecar, build_outbound, build_escalation])


async def token_of(process: Process, username: str) -> str:
    """Return a token of a demo account without the cost of a log-in."""
    async with process.kernel.database.reading() as session:
        account = await session.scalar(select(Account).where(Account.username == username))
    if account is None:
        raise LookupError(username)
    principal = Principal(
        account_id=account.id,
        username=account.username,
        name=account.name,
        role=cast(Role, account.role),
        session_id=new_id(),
        expires_at=process.kernel.clock.now() + timedelta(hours=1),
    )
    return process.kernel.tokens.issue(principal)


async def log_in(page: Page, address: str, username: str) -> None:
    """Log in by the form, and wait for the page of the role."""
    await page.goto(f"http://{address}/")
    await page.get_by_label("用户名").fill(username)
    await page.get_by_label("密码").fill(PASSWORD)
    await page.get_by_role("button", name="登录").click()
    await page.get_by_role("button", name="退出").wait_for()


async def enter_case(page: Page, plate: str, *, location: str = "花园街12号") -> None:
    """Enter a case by keyboard alone: the plate, Tab, the place, Tab, the number, Enter."""
    await page.get_by_label("车牌号").focus()
    for text in (plate, location):
        await page.keyboard.insert_text(text)
        await page.keyboard.press("Tab")
    await page.keyboard.insert_text("13912345678")
    await page.keyboard.press("Enter")


def card(page: Page, plate: str) -> Locator:
    """Return the card of a case or an escalation."""
    return page.get_by_role("article").filter(has_text=plate)
