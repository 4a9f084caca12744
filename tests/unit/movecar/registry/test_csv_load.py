"""Loading a file on SQLite: what the report says, and what is refused as a whole."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from services.common.clock import ManualClock
from services.common.crypto import Keys
from services.common.database import Database
from services.movecar.plates import Color, Kind, parse
from services.movecar.registry import csv_load
from services.movecar.registry.answers import Ambiguous, Found
from services.movecar.registry.csv_load import LoadReport, load_csv
from services.movecar.registry.csv_rows import RowFault
from services.movecar.registry.csv_source import LoadRefused
from services.movecar.registry.demo import DEMO_CSV
from services.movecar.registry.local import LocalRegistry
from services.movecar.registry.models import RegistryGeneration

HEADER = "plate,color,owner,phones"
BAD = [
    # a duplicate of line 2, a letter O, no colour, an abroad number only, half a row
    "苏D10001,blue,李秀英,13905190002",
    "苏D1O002,blue,李秀英,13905190002",
    "苏D10003,,张伟,13905190003",
    "苏D10004,blue,刘洋,+1 212 555 0100",
    "苏D10005,blue",
]


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    return path


async def states(db: Database) -> list[str]:
    async with db.reading() as session:
        return list(await session.scalars(select(RegistryGeneration.state).order_by(RegistryGeneration.id)))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, so that a handful of rows crosses several."""
    monkeypatch.setattr(csv_load, "BATCH", 2)


async def test_the_demo_registry_loads_without_a_rejected_row(
    db: Database, keys: Keys, clock: ManualClock
) -> None:
    report = await load_csv(DEMO_CSV, db, keys, clock)
    assert report.rejected == 0
    # The one vehicle without a number is there on purpose.
    assert [issue.fault for issue in report.issues] == [RowFault.PHONES]
    registry = LocalRegistry(db, keys)
    for digit in range(10):
        found = await registry.lookup(parse(f"苏D1000{digit}"), None, "case")
        assert isinstance(found, Found)
        assert found.vehicle.phones == (f"1390519000{digit}",)
        assert found.vehicle.color is Color.BLUE
    assert await registry.lookup(parse("苏D88888"), None, "case") == Ambiguous((Color.BLUE, Color.YELLOW))
    two = await registry.lookup(parse("苏D20061"), None, "case")
    assert isinstance(two, Found)
    assert [phone[-1] for phone in two.vehicle.phones] == ["6", "1"]


def test_the_demo_registry_has_a_plate_of_every_kind_a_registry_is_asked_for() -> None:
    with DEMO_CSV.open(encoding="utf-8", newline="") as file:
        kinds = {parse(row["plate"]).kind for row in csv.DictReader(file)}
    assert set(Kind) - kinds == {Kind.MILITARY, Kind.ARMED_POLICE}


@pytest.mark.usefixtures("small_batches")
async def test_every_bad_row_is_reported_by_line_and_reason(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    path = written(tmp_path / "registry.csv", "苏D10001,blue,王建国,13905190001", *BAD)
    report = await load_csv(path, db, keys, clock, issues_dir=tmp_path / "issues")
    assert (report.loaded, report.rejected, report.dropped_phones) == (2, 4, 1)
    assert report.faults == Counter({"duplicate": 1, "plate": 1, "color": 1, "phones": 1, "columns": 1})
    assert [(issue.line, issue.fault, issue.rejected) for issue in report.issues] == [
        (3, RowFault.DUPLICATE, True),
        (4, RowFault.PLATE, True),
        (5, RowFault.COLOR, True),
        (6, RowFault.PHONES, False),
        (7, RowFault.COLUMNS, True),
    ]
    assert "第 2 行" in report.issues[0].message
    assert report.issues_file is not None
    with report.issues_file.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["line"]), row["fault"]) for row in rows] == [
        (issue.line, issue.fault) for issue in report.issues
    ]


async def test_thousands_of_bad_rows_all_reach_the_file_and_only_the_first_the_report(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    bad = [f"苏D{number:05},purple,王建国,13905190001" for number in range(5_000)]
    path = written(tmp_path / "registry.csv", "苏D10001,blue,王建国,13905190001", *bad)
    report = await load_csv(path, db, keys, clock, issues_dir=tmp_path)
    assert (report.loaded, report.rejected, len(report.issues)) == (1, 5_000, csv_load.SHOWN)
    assert report.issues_file is not None
    assert len(report.issues_file.read_text(encoding="utf-8-sig").splitlines()) == 5_001


async def test_no_plate_name_or_number_gets_into_the_report_the_file_or_the_printed_form(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    path = written(tmp_path / "registry.csv", "苏D10001,blue,王建国,13905190001", *BAD)
    report = await load_csv(path, db, keys, clock, issues_dir=tmp_path)
    assert report.issues_file is not None
    said = repr(report) + report.issues_file.read_text(encoding="utf-8-sig")
    for secret in ("D1000", "王建国", "李秀英", "1390519", "555"):
        assert secret not in said


@pytest.mark.parametrize(
    "content",
    [
        # nothing; no header; a header in another order; a header and nothing else; only bad rows
        "",
        "苏D10001,blue,王建国,13905190001\n",
        "color,plate,owner,phones\nblue,苏D10001,王建国,13905190001\n",
        f"{HEADER}\n",
        "\n".join([HEADER, *BAD[1:3], BAD[4], ""]),
    ],
)
async def test_a_file_without_a_usable_row_is_refused_and_the_old_vehicles_stay(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path, content: str
) -> None:
    await load_csv(written(tmp_path / "good.csv", "苏D10001,blue,王建国,13905190001"), db, keys, clock)
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LoadRefused):
        await load_csv(path, db, keys, clock)
    assert isinstance(await LocalRegistry(db, keys).lookup(parse("苏D10001"), None, "case"), Found)


async def test_the_same_file_is_not_loaded_again_when_only_changes_are_wanted(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    path = written(tmp_path / "registry.csv", "苏D10001,blue,王建国,13905190001")

    async def again() -> LoadReport:
        return await load_csv(path, db, keys, clock, only_if_changed=True)

    assert not (await again()).unchanged
    assert (await again()).unchanged
    written(path, "苏D10001,blue,王建国,13905190002")
    assert not (await again()).unchanged
    # With other keys the vehicles could not be found: that is a change too.
    other = Keys.from_secret("another root secret that is long enough too")
    assert not (await load_csv(path, db, other, clock, only_if_changed=True)).unchanged
    assert await states(db) == ["removed", "removed", "active"]


@pytest.mark.usefixtures("small_batches")
async def test_progress_is_told_after_every_batch_up_to_the_whole_file(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    path = written(tmp_path / "registry.csv", *(f"苏D1000{n},blue,王建国,1390519000{n}" for n in range(5)))
    seen: list[tuple[int, int]] = []
    await load_csv(
        path, db, keys, clock, on_progress=lambda told: seen.append((told.bytes_read, told.report.loaded))
    )
    assert [loaded for _, loaded in seen] == [2, 4, 5]
    assert seen == sorted(seen)
    assert seen[-1][0] == path.stat().st_size
