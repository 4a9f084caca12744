"""`load-registry FILE`: the command that replaces the local registry."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.database import Database, is_outage
from services.common.migrations import SchemaOutdated, require_current, upgrade
from services.common.phones import own_lines
from services.common.settings import Settings, SettingsError, load_settings
from services.movecar.registry.csv_load import LoadProgress, LoadReport, load_csv
from services.movecar.registry.csv_source import LoadRefused
from services.movecar.registry.generations import LoadLost

_REFUSED = 1
_MISUSED = 2


def load_registry(
    file: Annotated[Path, typer.Argument(help="CSV：plate,color,owner,phones；号码以 ; 分隔，按呼叫顺序")],
) -> None:
    """用 CSV 文件替换本地车辆登记库。载入完成前，查询仍使用原有数据。"""
    console = Console(stderr=True)
    try:
        settings = load_settings()
    except SettingsError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
    try:
        report = asyncio.run(_load(file, settings, console))
    except LoadRefused as error:
        console.print(f"未载入：{error}。原有数据不变。", style="red", markup=False)
        raise typer.Exit(_REFUSED) from None
    except SchemaOutdated as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            raise
        console.print("未载入：数据库或磁盘不可用。原有数据不变。", style="red", markup=False)
        raise typer.Exit(_REFUSED) from None
    except LoadLost:
        console.print("未载入：载入中断过久，已被放弃。原有数据不变。", style="red", markup=False)
        raise typer.Exit(_REFUSED) from None
    print_report(report, console)


def print_report(report: LoadReport, console: Console) -> None:
    """Say what became of every row, by line number; no plate, name or number is shown."""
    console.print(f"已载入 {report.loaded} 辆，拒绝 {report.rejected} 行，用时 {report.seconds:.1f} 秒。")
    if report.dropped_phones:
        console.print(f"另有 {report.dropped_phones} 个号码不能呼叫，未载入。")
    for issue in report.issues:
        outcome = "未载入" if issue.rejected else "已载入"
        console.print(f"  第 {issue.line} 行（{outcome}）：{issue.message}", markup=False, highlight=False)
    if sum(report.faults.values()) > len(report.issues):
        console.print(f"  …… 共 {sum(report.faults.values())} 行")
    if report.issues_file is not None:
        console.print(f"全部问题行见 {report.issues_file}", markup=False, highlight=False)


async def _load(file: Path, settings: Settings, console: Console) -> LoadReport:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(settings.database)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        if settings.embedded:
            await upgrade(db)
        await require_current(db)
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("载入登记库", total=None)

            def show(progress: LoadProgress) -> None:
                text = f"已载入 {progress.report.loaded}，拒绝 {progress.report.rejected}"
                bar.update(task, total=progress.bytes_total, completed=progress.bytes_read, description=text)

            return await load_csv(
                file,
                db,
                Keys.from_secret(settings.root_secret()),
                SystemClock(),
                own=own_lines(settings.desk_phone),
                issues_dir=settings.data_dir / "registry",
                on_progress=show,
            )
    finally:
        await db.close()
