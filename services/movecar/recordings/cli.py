"""`recordings verify`: every stored recording is read and compared with the catalogue (B8)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import ColumnElement, func, select, tuple_

from services.common.clock import LOCAL_ZONE
from services.common.crypto import Keys
from services.common.database import Database
from services.common.migrations import SchemaOutdated, require_current
from services.common.settings import Settings, SettingsError, load_settings
from services.common.vault import Digest, Vault, VaultBroken
from services.movecar.recordings.models import Recording

recordings = typer.Typer(help="通话录音。")
_DAMAGED = 1
_MISUSED = 2
_PAGE = 200
_DAY = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@recordings.callback()
def _group() -> None:
    """通话录音。"""


@recordings.command("verify")
def verify(
    began_from: Annotated[
        datetime | None, typer.Option("--from", formats=_DAY, help="通话开始时间不早于（北京时间）")
    ] = None,
    began_to: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="通话开始时间早于（北京时间）")
    ] = None,
) -> None:
    """逐个解密录音文件，与目录中的长度和 SHA-256 核对。有损坏或缺失时退出码为 1。"""
    console = Console(stderr=True)
    try:
        settings = load_settings()
        checked, wrong = asyncio.run(_verify(settings, _local(began_from), _local(began_to), console))
    except (SettingsError, SchemaOutdated) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(_MISUSED) from None
    for recording_id, what in wrong:
        console.print(f"  {recording_id}  {what}", style="red", markup=False, highlight=False)
    console.print(f"已核对 {checked} 个录音，{len(wrong)} 个有问题。", highlight=False)
    if wrong:
        raise typer.Exit(_DAMAGED)


def _local(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=LOCAL_ZONE) if moment else None


async def _verify(
    settings: Settings, began_from: datetime | None, began_to: datetime | None, console: Console
) -> tuple[int, list[tuple[str, str]]]:
    database = Database(settings.database)
    vault = Vault(Keys.from_secret(settings.root_secret()).derive("recordings"))
    columns = (TextColumn("核对录音"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    checked, wrong = 0, []
    try:
        await require_current(database)
        total = await _count(database, began_from, began_to)
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=total)
            async for page in _pages(database, began_from, began_to):
                for recording in page:
                    what = await asyncio.to_thread(fault_of, vault, settings.recordings, recording)
                    if what:
                        wrong.append((recording.id, what))
                    checked += 1
                    bar.advance(task)
    finally:
        await database.close()
    return checked, wrong


def fault_of(vault: Vault, root: Path, recording: Recording) -> str | None:
    """Read a stored recording to its end and say what is wrong with it, in Chinese; None: it is genuine."""
    try:
        found = vault.digest(root / recording.path, recording.id)
    except FileNotFoundError:
        return "文件缺失"
    except (VaultBroken, OSError) as error:
        return f"文件损坏：{error}"
    if found != Digest(recording.size, recording.sha256):
        return "内容与目录不符"
    return None


async def _count(database: Database, began_from: datetime | None, began_to: datetime | None) -> int:
    async with database.reading() as session:
        return (
            await session.scalar(
                select(func.count()).select_from(Recording).where(*_between(began_from, began_to))
            )
            or 0
        )


async def _pages(
    database: Database, began_from: datetime | None, began_to: datetime | None
) -> AsyncIterator[Sequence[Recording]]:
    statement = (
        select(Recording)
        .where(*_between(began_from, began_to))
        .order_by(Recording.started_at, Recording.id)
        .limit(_PAGE)
    )
    following = statement
    while True:
        async with database.reading() as session:
            page = (await session.scalars(following)).all()
        if not page:
            return
        yield page
        last = page[-1]
        following = statement.where(
            tuple_(Recording.started_at, Recording.id) > tuple_(last.started_at, last.id)
        )


def _between(began_from: datetime | None, began_to: datetime | None) -> list[ColumnElement[bool]]:
    return [
        *([Recording.started_at >= began_from] if began_from else []),
        *([Recording.started_at < began_to] if began_to else []),
    ]
