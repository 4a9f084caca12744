"""`reconcile`: the command that compares a past window's calls with the evidence."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from services.common.clock import LOCAL_ZONE, SystemClock, local
from services.common.database import Database, is_outage
from services.common.migrations import SchemaOutdated, require_current
from services.common.settings import Settings, SettingsError, load_settings
from services.outbound.evidence.recordings import collected_recordings
from services.outbound.evidence.window import WindowReport, compare_window

_MISMATCH = 1
_MISUSED = 2
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


def reconcile(
    since: Annotated[
        datetime | None, typer.Option("--from", formats=_FORMATS, help="开始时间（默认 24 小时前）")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=_FORMATS, help="结束时间（不含；默认现在）")
    ] = None,
) -> None:
    """用话单逐一核对呼叫：外呼记录、话单、录音、案件。有不一致时以 1 退出。"""
    console = Console()
    now = SystemClock().now()
    begin, end = _aware(since, now - timedelta(days=1)), _aware(until, now)
    if not begin < end:
        raise typer.BadParameter("应早于 --to", param_hint="--from")
    try:
        settings = load_settings()
        report = asyncio.run(_compare(settings, begin, min(end, now), now))
    except (SettingsError, SchemaOutdated) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            raise
        Console(stderr=True).print("未核对：数据库不可用。", style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
    print_report(report, console)
    if report.mismatches:
        raise typer.Exit(_MISMATCH)


def print_report(report: WindowReport, console: Console) -> None:
    """Print the counts, then every mismatch that the report names."""
    console.print(f"核对时段：{_shown(report.since)} 至 {_shown(report.until)}", highlight=False)
    counts = Table("项目", "数量", box=None)
    for name, count in (
        ("外呼（已结束）", report.attempts),
        ("尚未结束或刚结束", report.pending),
        ("话单中的呼叫", report.placed),
        ("其中有外呼记录", report.with_attempt),
        ("其中有案件", report.with_case),
        ("其中接通", report.answered),
        ("其中有录音", report.recorded),
        ("不一致", report.mismatches.total()),
    ):
        counts.add_row(name, str(count))
    console.print(counts)
    if not report.mismatches:
        return
    table = Table("不一致", "对象", "案件", "详情", box=None)
    for mismatch in report.shown:
        detail = "，".join(f"{name}={value}" for name, value in mismatch.detail.items())
        table.add_row(str(mismatch.kind), mismatch.subject, mismatch.case_id, detail)
    console.print(table, markup=False, soft_wrap=True)
    if report.mismatches.total() > len(report.shown):
        console.print(f"…… 共 {report.mismatches.total()} 项：{dict(report.mismatches)}", markup=False)


async def _compare(settings: Settings, since: datetime, until: datetime, now: datetime) -> WindowReport:
    database = Database(settings.database)
    try:
        await require_current(database)
        return await compare_window(
            database,
            collected_recordings(settings),
            since,
            until,
            nodes=settings.call_record_files,
            now=now,
            after=timedelta(seconds=settings.reconcile_after),
        )
    finally:
        await database.close()


def _aware(moment: datetime | None, default: datetime) -> datetime:
    if moment is None:
        return default
    return moment if moment.tzinfo else moment.replace(tzinfo=LOCAL_ZONE)


def _shown(moment: datetime) -> str:
    return f"{local(moment):%Y-%m-%d %H:%M:%S}"
