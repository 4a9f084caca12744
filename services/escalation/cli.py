"""`push status` and `push replay`: what operations do about the desk's own system (C2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from services.common.clock import SystemClock, local
from services.common.database import Database
from services.common.migrations import SchemaOutdated, require_current
from services.common.settings import SettingsError, load_settings
from services.escalation.deliveries import PushState, push_state, send_again

push = typer.Typer(help="向接警台系统推送事件：查看状态、重新推送。")
_MISUSED = 2
_T = TypeVar("_T")


@push.callback()
def _group() -> None:
    """向接警台系统推送事件：查看状态、重新推送。"""


@push.command("status")
def status() -> None:
    """显示还有多少事件未被接收。有积压时退出码为 1。"""

    async def work(database: Database) -> PushState:
        async with database.reading() as session:
            return await push_state(session, configured=True, away=False)

    state = _with_database(work)
    console = Console()
    if not state.pending:
        console.print("全部事件均已被接收。")
        return
    since = (
        f"，最早一条产生于 {local(state.oldest_pending_at):%Y-%m-%d %H:%M:%S}"
        if state.oldest_pending_at
        else ""
    )
    console.print(
        f"{state.pending} 条事件未被接收{since}。最近的错误：{state.last_error or '无'}", highlight=False
    )
    raise typer.Exit(1)


@push.command("replay")
def replay(
    first: Annotated[int, typer.Argument(min=1, help="起始序号（feed 的 seq）")],
    last: Annotated[int | None, typer.Argument(min=1, help="结束序号，缺省与起始序号相同")] = None,
) -> None:
    """把已推送过的事件再推送一次。首次接收的时间保留。"""
    until = first if last is None else last
    if until < first:
        Console(stderr=True).print("结束序号不能小于起始序号。", style="red")
        raise typer.Exit(_MISUSED)

    async def work(database: Database) -> int:
        async with database.transaction() as session:
            return await send_again(session, first, until, SystemClock().now())

    count = _with_database(work)
    if not count:
        Console(stderr=True).print(f"序号 {first} 至 {until} 之间没有已推送的事件。", style="red")
        raise typer.Exit(1)
    Console().print(f"已安排重新推送 {count} 条事件，运行中的服务将立即执行。", highlight=False)


def _with_database(work: Callable[[Database], Awaitable[_T]]) -> _T:
    async def connected() -> _T:
        database = Database(load_settings().database)
        try:
            await require_current(database)
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(connected())
    except (SettingsError, SchemaOutdated) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
