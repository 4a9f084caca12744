"""The command `recordings verify`, as a person at a terminal meets it."""

import asyncio
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from services.common.crypto import Keys
from services.common.database import Database
from services.common.ids import new_id
from services.common.migrations import upgrade
from services.common.vault import Vault
from services.movecar.recordings.cli import recordings
from services.movecar.recordings.models import Recording

SECRET = "x" * 40
SOUND = bytes(range(256)) * 1000
DAYS = [datetime(2026, 11, day, 4, tzinfo=UTC) for day in (20, 21, 22)]


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    monkeypatch.chdir(home)  # away from any .env
    environment = {"MOVECAR_DATA_DIR": str(home), "MOVECAR_SECRET_KEY": SECRET, "COLUMNS": "200"}
    return CliRunner().invoke(recordings, ["verify", *options], env=environment)


@pytest.fixture
def stored(tmp_path: Path) -> list[tuple[str, Path]]:
    """An embedded installation with a recording on each of three days: ids and files."""
    vault = Vault(Keys.from_secret(SECRET).derive("recordings"))
    rows = []
    for day in DAYS:
        recording_id = new_id()
        path = f"{day:%Y/%m/%d}/{recording_id}"
        vault.write(tmp_path / "recordings" / path, io.BytesIO(SOUND), recording_id)
        row = {
            **{name: new_id() for name in ("attempt_id", "case_id", "operator_id", "callee")},
            **dict.fromkeys(("started_at", "ended_at", "kept_at"), day),
        }
        sha256 = hashlib.sha256(SOUND).hexdigest()
        facts = {"seconds": 1.0, "size": len(SOUND), "sha256": sha256, "format": "wav", "path": path}
        rows.append(row | facts | {"id": recording_id})

    async def fill() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'movecar.sqlite3'}")
        await upgrade(database)
        async with database.transaction() as session:
            await session.execute(insert(Recording), rows)
        await database.close()

    asyncio.run(fill())
    return [(str(row["id"]), tmp_path / "recordings" / str(row["path"])) for row in rows]


def test_what_is_genuine_passes(
    tmp_path: Path, stored: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert "已核对 3 个录音，0 个有问题" in result.output


def test_what_is_gone_or_changed_is_named_and_the_exit_status_says_so(
    tmp_path: Path, stored: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (missing, gone), (damaged, changed), (genuine, _) = stored
    gone.unlink()
    content = bytearray(changed.read_bytes())
    content[100_000] ^= 1
    changed.write_bytes(content)
    result = run(tmp_path, monkeypatch)
    assert result.exit_code == 1
    assert "已核对 3 个录音，2 个有问题" in result.output
    assert f"{missing}  文件缺失" in result.output
    assert f"{damaged}  文件损坏" in result.output
    assert genuine not in result.output


def test_only_the_days_that_are_asked_for_are_read(
    tmp_path: Path, stored: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored[0][1].unlink()
    result = run(tmp_path, monkeypatch, "--from", "2026-11-21", "--to", "2026-11-22")
    assert result.exit_code == 0, result.output
    assert "已核对 1 个录音，0 个有问题" in result.output


def test_tables_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch)
    assert result.exit_code == 2
    assert "migrate" in result.output
