"""`prompts build|import|check`: the audio files that owners hear."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import select

from services.common.run import MISUSED, read_database, read_settings
from services.common.settings import Settings
from services.outbound.prompts import shelf
from services.outbound.prompts.make import PromptError, Voice, make
from services.outbound.prompts.texts import GREETING
from services.outbound.scripts.contract import VERSION
from services.outbound.scripts.models import CallScript

prompts = typer.Typer(help="生成、导入和检查提示音。", no_args_is_help=True)
Script = Annotated[int | None, typer.Option("--script", help="只处理此编号话术自己的问候语", min=1, max=9999)]
Directory = Annotated[Path | None, typer.Option("--directory", help="提示音目录；默认 MOVECAR_PROMPTS_DIR")]
_FAILED = 1


@prompts.command("build")
def build(script: Script = None, directory: Directory = None) -> None:
    """用语音合成命令（MOVECAR_TTS_COMMAND）生成提示音。"""
    settings = read_settings()
    _make(Voice(settings.tts_command), script, settings, _directory(settings, directory))


@prompts.command("import")
def import_(
    studio: Annotated[
        Path, typer.Argument(help="录音目录，每条提示音一个 <名称>.wav", exists=True, file_okay=False)
    ],
    script: Script = None,
    directory: Directory = None,
) -> None:
    """导入录音室录制的提示音。"""
    settings = read_settings()
    _make(Voice(studio=studio), script, settings, _directory(settings, directory))


@prompts.command("check")
def check(script: Script = None, directory: Directory = None) -> None:
    """检查提示音：缺失、无声、不完整、校验和或文案不符。"""
    settings = read_settings()
    target = _directory(settings, directory)
    found = shelf.check(target, _scripts(script, settings))
    for finding in found:
        Console(stderr=True).print(str(finding), style="red", markup=False, highlight=False)
    if found:
        raise typer.Exit(_FAILED)
    Console().print(f"{target}：提示音完好。", markup=False, highlight=False)


def _make(voice: Voice, script: int | None, settings: Settings, target: Path) -> None:
    every = list(shelf.shelves(target, _scripts(script, settings)))
    chosen = every if script is None else every[1:]
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("提示音", total=sum(len(texts) for _, _, texts in chosen))
            for _, directory, texts in chosen:
                make(texts, directory, voice, lambda _: bar.advance(task))
    except (PromptError, OSError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(_FAILED) from None
    Console().print(f"已写入 {target}。", markup=False, highlight=False)


def _directory(settings: Settings, given: Path | None) -> Path:
    target = given or settings.prompts_dir
    if target is None:
        Console(stderr=True).print("请给出 --directory 或设置 MOVECAR_PROMPTS_DIR。", style="red")
        raise typer.Exit(MISUSED)
    return target


def _scripts(script: int | None, settings: Settings) -> dict[int, str]:
    """Version → greeting: of the script that was asked for, otherwise of the contract's own."""
    if script is None or script == VERSION:
        return {VERSION: GREETING}
    wanted = select(CallScript.greeting).where(CallScript.version == script)
    greeting = read_database(settings, lambda session: session.scalar(wanted))
    if greeting is None:
        Console(stderr=True).print(f"没有编号为 {script} 的话术。", style="red")
        raise typer.Exit(_FAILED)
    return {script: greeting}
