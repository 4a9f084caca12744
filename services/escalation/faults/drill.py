"""The command `drill fault`: the whole chain against the test channels, marked as a drill everywhere (C4)."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.http.auth import Principal, Tokens
from services.common.http.endpoint import API
from services.common.ids import new_id
from services.common.run import read_settings
from services.common.settings import Settings

WAIT_SECONDS = 90.0
_LOOK_SECONDS = 0.5
_FAILED = 1

drill = typer.Typer(help="演练。")


class DrillFailed(Exception):
    """The drill could not be run; the message says why and what to do."""


@drill.command("fault")
def fault(
    component: Annotated[str, typer.Option(help="部件，例如 database")],
    real: Annotated[bool, typer.Option("--real", help="通知真实的接警台与班长，文字标注演练")] = False,
) -> None:
    """演练一次故障与恢复：等待每个通道的送达证据并列出。"""
    try:
        notices = asyncio.run(_rehearse(read_settings(), component, real=real))
    except DrillFailed as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(_FAILED) from None
    table = Table("通知", "通道", "状态", "送达", "证据")
    for one in notices:
        table.add_row(
            one["kind"], one["channel"] or "-", one["status"], one["delivered_at"] or "-", one["proof"]
        )
    Console().print(table)
    if not notices or not all(_over(one) for one in notices):
        raise typer.Exit(_FAILED)


async def _rehearse(settings: Settings, component: str, *, real: bool) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(headers=_headers(settings)) as http:
        base = await _address(settings, http)
        opened = await _ask(http, "POST", f"{base}/faults/drills", {"component": component, "real": real})
        one = f"{base}/faults/{opened['id']}"
        await _until_told(http, one, "fault")
        await _ask(http, "POST", f"{one}/recover", {})
        return await _until_told(http, one, "recovery")


def _headers(settings: Settings) -> dict[str, str]:
    """A token of our own making: whoever runs this has the key, and needs no database to show it."""
    clock = SystemClock()
    expires = clock.now() + timedelta(minutes=10)
    person = Principal("drill", "drill", "演练", "supervisor", new_id(), expires)
    return {
        "Authorization": f"Bearer {Tokens(Keys.from_secret(settings.root_secret()), clock).issue(person)}"
    }


async def _address(settings: Settings, http: aiohttp.ClientSession) -> str:
    for address in (settings.escalation_listen, settings.listen):
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"http://{address}/watchz", timeout=aiohttp.ClientTimeout(3)) as answer:
                if answer.content_type == "application/json" and "delivered" in await answer.json():
                    return f"http://{address}{API}"
    raise DrillFailed("110通知服务没有运行：请先启动")


async def _ask(http: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> Any:
    try:
        async with http.request(method, url, json=body) as answer:
            document = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DrillFailed(f"110通知服务中断：{type(error).__name__}") from error
    if not answer.ok:
        raise DrillFailed(f"{document.get('title')}：{document.get('errors') or document.get('code')}")
    return document


async def _until_told(http: aiohttp.ClientSession, one: str, kind: str) -> list[dict[str, Any]]:
    notices: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                notices = (await _ask(http, "GET", f"{one}/notices"))["items"]
                asked = [notice for notice in notices if notice["kind"] == kind and notice["channel"]]
                if asked and all(_over(notice) for notice in asked):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    return notices


def _over(notice: dict[str, Any]) -> bool:
    return notice["status"] in {"delivered", "delivered_late", "superseded"}
