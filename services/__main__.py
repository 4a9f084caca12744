"""Movecar on the command line; without a command, the three services in one process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, update

from services.common.clock import SystemClock, local
from services.common.database import Database, rows_changed
from services.common.migrations import current, downgrade, head, upgrade
from services.common.models import DeadLetter
from services.common.run import read_settings, run_services
from services.common.service import Process
from services.common.settings import Settings
from services.escalation.app import build as build_escalation
from services.escalation.cli import push
from services.escalation.faults.drill import drill
from services.escalation.faults.pair.cli import pair
from services.movecar.app import build as build_movecar
from services.movecar.people.demo import ACCOUNTS, random_password
from services.movecar.recordings.cli import recordings
from services.movecar.registry.cli import load_registry
from services.outbound.app import build as build_outbound
from services.outbound.evidence.cli import reconcile
from services.outbound.prompts.cli import prompts
from services.outbound.scripts.cli import call_scripts

app = typer.Typer(
    help="114 挪车调度平台。不带命令时，在一个进程内运行全部服务。",
    no_args_is_help=False,
    add_completion=False,
)
dead_letters = typer.Typer(help="查看并重放无法处理的事件。")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(recordings, name="recordings")
app.add_typer(push, name="push")
app.add_typer(drill, name="drill")
app.add_typer(pair, name="pair")
app.command("load-registry")(load_registry)
app.command("reconcile")(reconcile)
app.add_typer(prompts, name="prompts")
app.add_typer(call_scripts, name="call-scripts")


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """114 挪车调度平台。不带命令时，在一个进程内运行全部服务。"""
    if context.invoked_subcommand is not None:
        return
    settings = read_settings()
    if settings.is_demo and not settings.demo_password.get_secret_value():
        settings = read_settings(demo_password=random_password())

    def greet(process: Process) -> None:
        _greet(settings, process.address)

    run_services(
        "movecar", [build_movecar, build_outbound, build_escalation], settings, settings.listen, greet
    )


def _greet(settings: Settings, address: str) -> None:
    console = Console()
    console.print(f"\n  movecar  http://{address}   接口文档 http://{address}/docs", highlight=False)
    if not settings.is_demo:
        return
    console.print(
        "  演示系统：" + ("不会拨打任何电话。" if settings.pbx == "sandbox" else "将通过真实线路呼叫！")
    )
    table = Table("用户名", "姓名", "角色", box=None, padding=(0, 2))
    for username, name, role in ACCOUNTS:
        table.add_row(username, name, role)
    console.print(table)
    console.print(f"  密码（全部演示账号）：{settings.demo_password.get_secret_value()}", markup=False)
    console.print(
        "  试一试：苏D10001 同意挪车，苏D10005 提出异议并转110，苏D10007 无人接听。按 Ctrl-C 停止。\n",
        soft_wrap=True,
    )


@app.command()
def migrate(
    revision: Annotated[str, typer.Argument(help="目标版本")] = "head",
    down: Annotated[bool, typer.Option("--down", help="回退到该版本（base 会删除全部数据）")] = False,
) -> None:
    """创建或升级数据库表。"""

    async def work(database: Database) -> None:
        await (downgrade if down else upgrade)(database, revision)
        Console().print(
            f"数据库版本：{await current(database) or '空'}（本程序需要 {head()}）", highlight=False
        )

    _with_database(work)


@dead_letters.command("list")
def list_dead_letters() -> None:
    """列出无法处理的事件。"""

    async def work(database: Database) -> None:
        async with database.reading() as session:
            letters = (await session.scalars(select(DeadLetter).order_by(DeadLetter.id))).all()
        if not letters:
            Console().print("没有无法处理的事件。")
            return
        table = Table("编号", "消费者", "事件", "时间", "状态", "原因")
        for letter in letters:
            if letter.replayed_at is not None:
                state = "已重放"
            else:
                state = "等待重放" if letter.replay_requested_at is not None else "待处理"
            when = f"{local(letter.failed_at):%Y-%m-%d %H:%M:%S}"
            table.add_row(str(letter.id), letter.consumer, letter.type, when, state, letter.error[:80])
        Console().print(table)

    _with_database(work)


@dead_letters.command("replay")
def replay_dead_letter(number: Annotated[int, typer.Argument(help="编号，见 list")]) -> None:
    """请消费者重新处理一个事件。"""

    async def work(database: Database) -> None:
        async with database.transaction() as session:
            asked = await session.execute(
                update(DeadLetter)
                .where(DeadLetter.id == number, DeadLetter.replayed_at.is_(None))
                .values(replay_requested_at=SystemClock().now())
            )
        if not rows_changed(asked):
            Console(stderr=True).print(f"没有待处理的事件 {number}。", style="red")
            raise typer.Exit(1)
        Console().print("已请求重放，运行中的服务将在数秒内处理。")

    _with_database(work)


def _with_database(work: Callable[[Database], Awaitable[None]]) -> None:
    settings = read_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def connected() -> None:
        database = Database(settings.database)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(connected())


if __name__ == "__main__":
    app()
