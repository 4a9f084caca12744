"""The command `drill fault`: the whole chain against the test channels, marked as a drill everywhere (C4)."""

import asyncio
import contextlib
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from services.common.run import read_settings
from services.common.settings import Settings
from services.escalation.faults.asking import NoAnswer, address, ask, headers

WAIT_SECONDS = 90.0
_LOOK_SECONDS = 0.5
_FAILED = 1

drill = typer.Typer(help="演练。")


@drill.command("fault")
def fault(
    component: Annotated[str, typer.Option(help="部件，例如 database")],
    real: Annotated[bool, typer.Option("--real", help="通知真实的接警台与班长，文字标注演练")] = False,
) -> None:
    """演练一次故障与恢复：等待每个通道的送达证据并列出。"""
    try:
        notices = asyncio.run(_rehearse(read_settings(), component, real=real))
    except NoAnswer as error:
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
    async with aiohttp.ClientSession(headers=headers(settings, "drill")) as http:
        base = await address(settings, http)
        opened = await ask(http, "POST", f"{base}/faults/drills", {"component": component, "real": real})
        one = f"{base}/faults/{opened['id']}"
        says = Console(stderr=True)
        says.print(f"故障通知已交付各通道，等待送达证据（最长{WAIT_SECONDS:.0f}秒）…")
        try:
            await _until_told(http, one, "fault")
        finally:  # also when it is interrupted: a drill does not stay open
            await ask(http, "POST", f"{one}/recover", {})
        says.print(f"恢复通知已交付各通道，等待送达证据（最长{WAIT_SECONDS:.0f}秒）…")
        return await _until_told(http, one, "recovery")


async def _until_told(http: aiohttp.ClientSession, one: str, kind: str) -> list[dict[str, Any]]:
    notices: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                notices = (await ask(http, "GET", f"{one}/notices"))["items"]
                asked = [notice for notice in notices if notice["kind"] == kind and notice["channel"]]
                if asked and all(_over(notice) for notice in asked):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    return notices


def _over(notice: dict[str, Any]) -> bool:
    return notice["status"] in {"delivered", "delivered_late", "superseded"}
