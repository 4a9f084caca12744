"""The command `pair status`: which machine tells the desk, and how the other one is (C4)."""

import asyncio
from typing import Any

import aiohttp
import typer
from rich.console import Console

from services.common.run import read_settings
from services.common.settings import Settings
from services.escalation.faults.asking import NoAnswer, address, ask, headers

pair = typer.Typer(help="双机：由哪台通知110接警台，对端状况如何。")
_ROLES = {"active": "主机", "standby": "备机", None: "未知"}
_MISUSED = 2


@pair.callback()
def _group() -> None:
    """双机：由哪台通知110接警台，对端状况如何。"""


@pair.command("status")
def status() -> None:
    """显示本机与对端。没有对端或对端无联系时退出码为 1。"""
    try:
        found = asyncio.run(_read(read_settings()))
    except NoAnswer as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(_MISUSED) from None
    console = Console(highlight=False)
    if found["role"] is None:
        console.print("单机：没有配置对端（MOVECAR_ESCALATION_PEER），由本机通知。")
        raise typer.Exit(1)
    at_work = "正在通知" if found["delivers"] else "值守，由对端通知"
    console.print(f"本机：{_ROLES[found['role']]}，{at_work}")
    if not found["heard"]:
        console.print(f"对端：无联系（{found['trouble']}）", style="red")
        raise typer.Exit(1)
    well = "正常" if found["other_well"] else "已停止或停滞"
    console.print(f"对端：{_ROLES[found['other_role']]}，{well}，{found['heard_seconds_ago']:g} 秒前有消息")


async def _read(settings: Settings) -> dict[str, Any]:
    async with aiohttp.ClientSession(headers=headers(settings, "pair")) as http:
        found: dict[str, Any] = await ask(http, "GET", f"{await address(settings, http)}/faults/pair")
        return found
