"""`call-scripts list|show`: the scripts as they stand, for whoever has no browser at hand."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import SystemClock, local
from services.common.run import read_database, read_settings
from services.outbound.scripts.documents import ScriptView, script_view
from services.outbound.scripts.machine import Approved, in_force
from services.outbound.scripts.models import CallScript, NoticeFile, ScriptHistory

call_scripts = typer.Typer(help="查看呼叫话术及其书面通知。", no_args_is_help=True)
_STANDINGS = {
    "draft": "草稿",
    "scheduled": "已批准，未生效",
    "in_force": "生效中",
    "superseded": "已被取代",
    "rejected": "已驳回",
    "withdrawn": "已撤回",
}


@call_scripts.command("list")
def list_scripts() -> None:
    """列出全部话术。"""
    table = Table("编号", "状态", "主叫号码", "通知文号", "生效时间", "起草", "批准", "问候语")
    for view in read_database(read_settings(), _read):
        when = view.effective_at or view.effective_from
        table.add_row(
            str(view.version),
            _STANDINGS[view.status],
            view.caller_id,
            view.notice_number,
            f"{local(when):%Y-%m-%d %H:%M:%S}",
            view.drafted_by,
            view.approved_by or "",
            view.greeting,
        )
    Console().print(table)


@call_scripts.command("show")
def show_script(version: Annotated[int, typer.Argument(help="编号，见 list")]) -> None:
    """显示一个话术、它的通知和经过。"""
    found = [view for view in read_database(read_settings(), _read) if view.version == version]
    if not found:
        Console(stderr=True).print(f"没有编号为 {version} 的话术。", style="red")
        raise typer.Exit(1)
    Console().print_json(found[0].model_dump_json())


async def _read(session: AsyncSession) -> list[ScriptView]:
    rows = (await session.scalars(select(CallScript).order_by(CallScript.version))).all()
    notices = {notice.script_id: notice for notice in await session.scalars(select(NoticeFile))}
    lines = (await session.scalars(select(ScriptHistory).order_by(ScriptHistory.id))).all()
    current = _current(rows)
    return [
        script_view(row, notices.get(row.id), current, [line for line in lines if line.script_id == row.id])
        for row in rows
    ]


def _current(rows: Sequence[CallScript]) -> Approved | None:
    approved = (
        Approved(row.version, row.caller_id, row.greeting, row.effective_at)
        for row in rows
        if row.state == "approved" and row.effective_at is not None
    )
    return in_force(approved, SystemClock().now())
