"""`prompts build|import|check` and `./movecar`, with the real SoX, as an administrator meets them (B3)."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.common.clock import SystemClock, local
from services.common.crypto import Keys
from services.common.database import Database
from services.common.migrations import upgrade
from services.outbound.prompts.cli import prompts
from services.outbound.prompts.shelf import read_manifest
from services.outbound.scripts import filing
from services.outbound.scripts.notices import Scan
from tests.support.program import ROOT

GREETING = "您好，这里是公安110，您是{plate}的车主吗？"
NAMES = ["greeting-head", "greeting-tail"]
TONE = "sh -c 'sox -n $0 synth 2 sine 440' {wav} {text}"


@dataclass
class Administrator:
    """Somebody with a shell: their directory, and what is set in their environment."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def sounds(self) -> Path:
        """Where the switch takes its prompts from."""
        return self.home / "sounds"

    def run(self, *arguments: str) -> Result:
        """Say `prompts …`."""
        return CliRunner().invoke(prompts, arguments, env=self.environment)


@pytest.fixture
def administrator(tmp_path: Path, quick_prompts: Path, monkeypatch: pytest.MonkeyPatch) -> Administrator:
    """An installation that can say what the contract's own script needs, and has script 2 on file."""
    monkeypatch.chdir(tmp_path)  # away from any .env
    (tmp_path / "var").mkdir()
    shutil.copytree(quick_prompts, tmp_path / "sounds")
    now = SystemClock().now()
    wanted = filing.Draft("0519110", GREETING, "武公指〔2026〕12号", local(now).date(), now)
    scan = Scan("通知.pdf", "application/pdf", b"%PDF-1.4\n%%EOF\n")

    async def fill() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'var' / 'movecar.sqlite3'}")
        await upgrade(database)
        async with database.transaction() as session:
            await filing.draft(session, Keys.from_secret("x" * 40), wanted, scan, by="adm1", now=now)
        await database.close()

    asyncio.run(fill())
    environment = {
        "MOVECAR_DATA_DIR": str(tmp_path / "var"),
        "MOVECAR_PROMPTS_DIR": str(tmp_path / "sounds"),
        "MOVECAR_TTS_COMMAND": TONE,
        "COLUMNS": "200",
    }
    return Administrator(tmp_path, environment)


def _studio(home: Path, **seconds: float) -> Path:
    studio = home / "studio"
    studio.mkdir()
    for name, length in seconds.items():
        sound = ["synth", str(length), "sine", "700"] if length > 0 else ["trim", "0", "2"]
        target = studio / f"{name.replace('_', '-')}.wav"
        subprocess.run(["sox", "-n", "-r", "44100", "-c", "2", str(target), *sound], check=True)
    return studio


def test_a_script_s_greeting_is_built_and_then_passes_the_check(administrator: Administrator) -> None:
    before = administrator.run("check", "--script", "2")
    assert before.exit_code == 1
    assert [line for line in before.stderr.splitlines() if line] == [
        f"script-2/{name}：文件缺失" for name in NAMES
    ]
    built = administrator.run("build", "--script", "2")
    assert built.exit_code == 0, built.output
    made = read_manifest(administrator.sounds / "script-2").prompts
    assert {name: prompt.text for name, prompt in made.items()} == {
        "greeting-head": "您好，这里是公安幺幺零，您是",
        "greeting-tail": "的车主吗？",
    }
    after = administrator.run("check", "--script", "2")
    assert (after.exit_code, after.stdout.strip()) == (0, f"{administrator.sounds}：提示音完好。")


def test_studio_recordings_of_any_rate_are_imported(administrator: Administrator) -> None:
    studio = _studio(administrator.home, greeting_head=3, greeting_tail=1)
    done = administrator.run("import", str(studio), "--script", "2")
    assert done.exit_code == 0, done.output
    made = read_manifest(administrator.sounds / "script-2").prompts
    assert {prompt.voice for prompt in made.values()} == {"studio"}
    assert administrator.run("check", "--script", "2").exit_code == 0


# lengths of the studio's recordings in seconds, 0: silence; what is said about them
BAD_STUDIOS: list[tuple[dict[str, float], str]] = [
    ({"greeting_head": 3}, "greeting-tail.wav is missing"),
    ({"greeting_head": 3, "greeting_tail": 0}, "greeting-tail is silent"),
    ({"greeting_head": 0.1, "greeting_tail": 1}, "greeting-head lasts 0.10 s: too short"),
]


@pytest.mark.parametrize(("seconds", "problem"), BAD_STUDIOS)
def test_what_owners_could_not_hear_is_not_imported_and_nothing_of_it_is_kept(
    administrator: Administrator, seconds: dict[str, float], problem: str
) -> None:
    studio = _studio(administrator.home, **seconds)
    done = administrator.run("import", str(studio), "--script", "2")
    assert done.exit_code == 1
    assert problem in done.stderr
    assert not list((administrator.sounds / "script-2").iterdir())


def _unlink(path: Path) -> None:
    path.unlink()


def _silence(path: Path) -> None:
    path.write_bytes(b"\xd5" * path.stat().st_size)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _swap(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


# what is done to a file, what the command says
DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (_unlink, "文件缺失"),
    (_silence, "没有声音"),
    (_cut, "文件不完整"),
    (_swap, "校验和与清单不符"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_a_damaged_file_is_named_with_what_is_wrong_and_the_exit_status_says_so(
    administrator: Administrator, damage: Callable[[Path], None], words: str
) -> None:
    damage(administrator.sounds / "script-1" / "greeting-tail.alaw")
    checked = administrator.run("check")
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert checked.stderr.strip() == f"script-1/greeting-tail：{words}"


def test_a_voice_that_fails_leaves_the_prompts_as_they_were(administrator: Administrator) -> None:
    administrator.environment["MOVECAR_TTS_COMMAND"] = "no-such-program {wav} {text}"
    built = administrator.run("build")
    assert built.exit_code == 1
    assert "apt-get install no-such-program" in built.stderr
    assert administrator.run("check").exit_code == 0


def test_a_script_that_is_not_on_file_is_said_so(administrator: Administrator) -> None:
    built = administrator.run("build", "--script", "7")
    assert built.exit_code == 1
    assert "没有编号为 7 的话术" in built.stderr
    assert not (administrator.sounds / "script-7").exists()


def test_without_a_directory_the_command_says_which_setting_is_missing(administrator: Administrator) -> None:
    del administrator.environment["MOVECAR_PROMPTS_DIR"]
    checked = administrator.run("check")
    assert checked.exit_code == 2
    assert "MOVECAR_PROMPTS_DIR" in checked.stderr


def _checkout(home: Path) -> Path:
    checkout = home / "checkout"
    checkout.mkdir()
    shutil.copy2(ROOT / "movecar", checkout)
    return checkout


def test_movecar_works_from_any_directory_and_through_a_link_with_the_checkout_s_env(
    administrator: Administrator,
) -> None:
    checkout = _checkout(administrator.home)
    (checkout / "services").symlink_to(ROOT / "services")
    (checkout / ".venv").symlink_to(sys.prefix)
    (checkout / ".env").write_text("MOVECAR_PROMPTS_DIR=../sounds\n")
    elsewhere = administrator.home / "elsewhere"
    elsewhere.mkdir()
    command = elsewhere / "movecar"
    command.symlink_to(checkout / "movecar")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MOVECAR_")}
    run = subprocess.run(
        [command, "prompts", "check"], cwd=elsewhere, env=clean, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "提示音完好" in run.stdout
    assert not list(elsewhere.glob("var"))


def test_movecar_in_a_checkout_that_was_never_set_up_says_what_to_do(administrator: Administrator) -> None:
    checkout = _checkout(administrator.home)
    run = subprocess.run(
        [checkout / "movecar"], cwd=administrator.home, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert f"make run` or `make test` in {checkout} once" in run.stderr
