"""The load-registry command, as a person at a terminal meets it."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from services.movecar.registry.cli import load_registry

app = typer.Typer()
app.command()(load_registry)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An embedded installation of this test alone."""
    return {"MOVECAR_DATA_DIR": str(tmp_path / "var"), "MOVECAR_SECRET_KEY": "x" * 40, "COLUMNS": "200"}


def run(path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(path.parent)  # away from any .env
    return CliRunner().invoke(app, [str(path)], env=environment)


def test_a_load_says_how_many_and_which_lines_failed(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.csv"
    path.write_text(
        "plate,color,owner,phones\n苏D10001,blue,王建国,13905190001\n苏D1O002,blue,李秀英,13905190002\n",
        encoding="gb18030",
    )
    result = run(path, environment, monkeypatch)
    assert result.exit_code == 0, result.output
    assert "已载入 1 辆，拒绝 1 行" in result.output
    assert "第 3 行" in result.output
    assert "issues.csv" in result.output
    assert "139" not in result.output


def test_a_refused_file_leaves_with_an_error_and_says_the_old_vehicles_stay(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.csv"
    path.write_text("a,b\n", encoding="utf-8")
    result = run(path, environment, monkeypatch)
    assert result.exit_code == 1
    assert "原有数据不变" in result.output
    assert run(tmp_path / "missing.csv", environment, monkeypatch).exit_code == 1


def test_wrong_settings_are_named(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(tmp_path / "registry.csv", environment | {"MOVECAR_SECRET_KEY": "short"}, monkeypatch)
    assert result.exit_code == 2
    assert "secret_key" in result.output.lower()


def test_a_database_that_is_away_is_told_from_a_defect(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.csv"
    path.write_text("plate,color,owner,phones\n", encoding="utf-8")
    away = {"MOVECAR_DATABASE_URL": "postgresql+asyncpg://movecar@127.0.0.1:1/movecar"}
    result = run(path, environment | away, monkeypatch)
    assert result.exit_code == 1
    assert "数据库或磁盘不可用" in result.output
