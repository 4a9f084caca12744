"""`call-scripts list|show`, as a person at a terminal meets them."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.stack.ports import free_port
from services.common.clock import SystemClock, local
from services.common.crypto import Keys
from services.common.database import Database
from services.common.migrations import upgrade
from services.outbound.scripts import filing
from services.outbound.scripts.cli import call_scripts
from services.outbound.scripts.notices import Scan

GREETING = "您好，这里是公安110，您是{plate}的车主吗？"
SCAN = Scan("通知.pdf", "application/pdf", b"%PDF-1.4\n%%EOF\n")


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.chdir(home)  # away from any .env
    environment = {"MOVECAR_DATA_DIR": str(home / "var"), "MOVECAR_SECRET_KEY": "x" * 40, "COLUMNS": "200"}
    return CliRunner().invoke(call_scripts, arguments, env=environment)


@pytest.fixture
def filed(tmp_path: Path) -> Path:
    """An installation where script 2 was approved for an hour ago, and 3 is a draft."""
    (tmp_path / "var").mkdir()
    now = SystemClock().now()
    wanted = filing.Draft(
        "0519110", GREETING, "武公指〔2026〕12号", local(now).date(), now - timedelta(hours=1)
    )

    async def fill() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'var' / 'movecar.sqlite3'}")
        await upgrade(database)
        keys = Keys.from_secret("x" * 40)
        async with database.transaction() as session:
            script = await filing.draft(session, keys, wanted, SCAN, by="adm1", now=now)
            await filing.draft(session, keys, wanted, SCAN, by="adm1", now=now)
        async with database.transaction() as session:
            await filing.approve(session, script.id, by="adm2", now=now, prompts={"a.alaw": "0" * 64})
        await database.close()

    asyncio.run(fill())
    return tmp_path


def test_the_list_says_of_each_script_how_it_stands_and_who_decided(
    filed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = run(filed, monkeypatch, "list")
    assert listed.exit_code == 0
    rows = [line for line in listed.output.splitlines() if "0519110" in line]
    for row, words in zip(rows, ["1 已被取代 contract", "2 生效中 adm1 adm2", "3 草稿 adm1"], strict=True):
        assert set(words.split()) <= set(row.replace("│", " ").split())
    assert GREETING in rows[1]


def test_a_script_is_shown_with_its_notice_and_its_history(
    filed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run(filed, monkeypatch, "show", "2")
    assert shown.exit_code == 0
    script = json.loads(shown.output)
    assert (script["version"], script["status"], script["greeting"]) == (2, "in_force", GREETING)
    assert script["notice_file"]["sha256"] == SCAN.sha256
    assert [(line["action"], line["by"]) for line in script["history"]] == [
        ("drafted", "adm1"),
        ("approved", "adm2"),
    ]


def test_a_number_that_was_never_given_is_said_so(filed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = run(filed, monkeypatch, "show", "4")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "没有编号为 4 的话术" in missing.stderr


def test_a_database_that_is_not_set_up_or_away_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = run(tmp_path, monkeypatch, "list")
    assert (empty.exit_code, empty.stderr.count("\n")) == (2, 1)
    assert "python -m services migrate" in empty.stderr
    monkeypatch.setenv(
        "MOVECAR_DATABASE_URL", f"postgresql+asyncpg://movecar@127.0.0.1:{free_port()}/movecar"
    )
    away = run(tmp_path, monkeypatch, "list")
    assert (away.exit_code, away.stderr) == (2, "数据库不可用，请检查 MOVECAR_DATABASE_URL。\n")
