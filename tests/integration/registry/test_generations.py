"""The local registry on both databases: whole loads or none, whatever dies when."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from services.common.clock import ManualClock
from services.common.crypto import Keys
from services.common.database import Database
from services.movecar.plates import Color, parse
from services.movecar.registry import csv_load, generations
from services.movecar.registry.answers import Answer, Found, NotFound, Outage, Unavailable
from services.movecar.registry.csv_load import LoadProgress, load_csv
from services.movecar.registry.generations import SILENCE, LoadLost, SealedRow
from services.movecar.registry.local import LocalRegistry
from services.movecar.registry.models import RegistryGeneration, RegistryVehicle

PLATE = parse("苏D10001")


def written(path: Path, owner: str, rows: int = 6) -> Path:
    """A file in which every vehicle has this owner; the first is PLATE."""
    lines = [f"苏D{10001 + n},blue,{owner},1390519{n:04}" for n in range(rows)]
    path.write_text("\n".join(["plate,color,owner,phones", *lines, ""]), encoding="utf-8")
    return path


async def owner(db: Database, keys: Keys) -> str | Answer:
    """The owner a lookup of PLATE finds now, or what else it says."""
    answer = await LocalRegistry(db, keys).lookup(PLATE, None, "case")
    return answer.vehicle.owner if isinstance(answer, Found) else answer


async def states(db: Database) -> list[str]:
    async with db.reading() as session:
        return list(await session.scalars(select(RegistryGeneration.state).order_by(RegistryGeneration.id)))


async def stored(db: Database) -> Counter[int]:
    """Vehicles in the table, by generation."""
    async with db.reading() as session:
        return Counter(await session.scalars(select(RegistryVehicle.generation_id)))


def database_files(directory: Path) -> list[bytes]:
    """What is on disk, where the database is a file: its log included."""
    return [file.read_bytes() for file in directory.glob("registry.sqlite3*")]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, so that a handful of rows crosses several."""
    monkeypatch.setattr(csv_load, "BATCH", 2)
    monkeypatch.setattr(generations, "_DELETE_BATCH", 2)


async def test_an_empty_registry_is_unavailable_and_not_an_empty_answer(db: Database, keys: Keys) -> None:
    assert await owner(db, keys) == Unavailable(Outage.NOT_LOADED)


async def test_a_load_replaces_the_whole_registry_and_removes_the_old_one(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "1.csv", "甲", rows=7), db, keys, clock)
    report = await load_csv(written(tmp_path / "2.csv", "乙", rows=5), db, keys, clock)
    assert (report.loaded, report.rejected) == (5, 0)
    assert await owner(db, keys) == "乙"
    gone = await LocalRegistry(db, keys).lookup(parse("苏D10007"), None, "case")
    assert gone == NotFound()
    assert await states(db) == ["removed", "active"]
    assert await stored(db) == {2: 5}


async def test_lookups_see_the_old_vehicles_until_the_last_row_is_in(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "1.csv", "甲"), db, keys, clock)
    sealed = SealedRow(b"x" * 16, Color.BLUE, 2, "v1.sealed")
    generation = await generations.begin(db, "source", clock.now())
    await generations.store(db, generation, [sealed], clock.now())
    assert await owner(db, keys) == "甲"
    await generations.activate(db, generation, 1, 0, clock.now())
    assert await owner(db, keys) == NotFound()


async def test_no_lookup_finds_a_gap_while_registries_replace_one_another(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    files = [written(tmp_path / f"{name}.csv", name, rows=40) for name in ("甲", "乙", "丙")]
    await load_csv(files[0], db, keys, clock)
    seen: Counter[object] = Counter()
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            seen[await owner(db, keys)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(look())
        for file in files[1:]:
            await load_csv(file, db, keys, clock)
        done.set()
    assert set(seen) <= {"甲", "乙", "丙"}
    assert await owner(db, keys) == "丙"


async def test_duplicates_within_and_across_batches_are_reported_with_the_line_that_stayed(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    rows = [
        "苏D10001,blue,甲,13905190001",  # 2: stays
        "苏D10001,蓝,乙,13905190002",  # 3: the same, in the same batch
        "苏D10002,blue,丙,13905190003",  # 4: stays
        "苏d·10001,blue,丁,13905190004",  # 5: the same, in a later batch, spelt otherwise
        "苏D10001,yellow,戊,13905190005",  # 6: another colour is another vehicle
        "苏D10002,blue,己,13905190006",  # 7: the same as 4, across batches
        "苏D10001,blue,庚,13905190007",  # 8: a batch of nothing but duplicates
        "苏D10002,blue,辛,13905190008",  # 9
    ]
    path = tmp_path / "registry.csv"
    path.write_text("\n".join(["plate,color,owner,phones", *rows, ""]), encoding="utf-8")
    report = await load_csv(path, db, keys, clock)
    assert (report.loaded, report.rejected) == (3, 5)
    assert [(issue.line, issue.message) for issue in report.issues] == [
        (line, f"与第 {first} 行的车牌和颜色相同") for line, first in [(3, 2), (5, 2), (7, 4), (8, 2), (9, 4)]
    ]
    answer = await LocalRegistry(db, keys).lookup(PLATE, Color.BLUE, "case")
    assert isinstance(answer, Found)
    assert answer.vehicle.owner == "甲"


async def test_nothing_personal_can_be_read_from_the_table(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "registry.csv", "王建国"), db, keys, clock)
    async with db.reading() as session:
        rows = (await session.execute(text("SELECT * FROM registry_vehicles"))).all()
    said = repr(rows)
    for secret in ("D1000", "苏", "王建国", "1390519"):
        assert secret not in said
    for content in await asyncio.to_thread(database_files, tmp_path):
        assert not any(secret.encode() in content for secret in ("苏D1000", "王建国", "1390519"))


async def test_a_changed_row_makes_the_lookup_unavailable(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "registry.csv", "甲"), db, keys, clock)
    async with db.transaction() as session:
        other = select(RegistryVehicle.sealed).where(RegistryVehicle.line == 3).scalar_subquery()
        await session.execute(update(RegistryVehicle).where(RegistryVehicle.line == 2).values(sealed=other))
    assert await owner(db, keys) == Unavailable(Outage.SEAL)


async def test_a_load_that_fails_leaves_the_old_vehicles_and_is_swept_by_the_next(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "1.csv", "甲"), db, keys, clock)

    def fail(progress: LoadProgress) -> None:
        if progress.report.loaded >= 4:
            raise RuntimeError("the terminal went away")

    second = written(tmp_path / "2.csv", "乙")
    with pytest.raises(RuntimeError):
        await load_csv(second, db, keys, clock, on_progress=fail)
    assert await owner(db, keys) == "甲"
    assert await states(db) == ["active", "retired"]
    await load_csv(second, db, keys, clock)
    assert await owner(db, keys) == "乙"
    assert await stored(db) == {3: 6}


async def test_a_cancelled_load_leaves_the_old_vehicles(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    await load_csv(written(tmp_path / "1.csv", "甲"), db, keys, clock)

    def cancel(_: LoadProgress) -> None:
        loading.cancel()

    file = written(tmp_path / "2.csv", "乙")
    loading = asyncio.create_task(load_csv(file, db, keys, clock, on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert await owner(db, keys) == "甲"
    assert await states(db) == ["active", "retired"]
    assert await generations.sweep(db, clock) > 0
    assert await stored(db) == {1: 6}


CHILD = """
import asyncio, sys, time
from pathlib import Path
from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.database import Database
from services.movecar.registry import csv_load

csv_load.BATCH = 2

def hold(progress):
    print(progress.report.loaded, flush=True)
    if progress.report.loaded >= 4:
        time.sleep(600)

asyncio.run(csv_load.load_csv(
    Path(sys.argv[1]), Database(sys.argv[2]), Keys.from_secret(sys.argv[3]), SystemClock(), on_progress=hold
))
"""


async def test_a_killed_loader_leaves_the_old_vehicles_and_its_remains_are_swept_after_a_while(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path, database_url: str
) -> None:
    await load_csv(written(tmp_path / "1.csv", "甲"), db, keys, clock)
    secret = "a root secret that is long enough for the tests"
    file = written(tmp_path / "2.csv", "乙")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        str(file),
        database_url,
        secret,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(60):
            while await child.stdout.readline() != b"4\n":
                assert child.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        await child.wait()
    assert await owner(db, keys) == "甲"
    assert await stored(db) == {1: 6, 2: 4}
    # It died just now by the machine's clock: still given the benefit of the doubt, then not.
    async with db.reading() as session:
        touched = await session.scalar(select(RegistryGeneration.touched_at).filter_by(id=2))
    assert touched is not None
    assert await generations.sweep(db, ManualClock(touched + SILENCE)) == 0
    assert await generations.sweep(db, ManualClock(touched + SILENCE * 2)) == 4
    assert await states(db) == ["active", "removed"]
    assert await owner(db, keys) == "甲"


async def test_a_loader_whose_generation_was_swept_stops(db: Database, clock: ManualClock) -> None:
    generation = await generations.begin(db, "source", clock.now())
    await clock.advance(SILENCE.total_seconds() + 1)
    await generations.sweep(db, clock)
    with pytest.raises(LoadLost):
        await generations.store(
            db, generation, [SealedRow(b"x" * 16, Color.BLUE, 2, "v1.sealed")], clock.now()
        )
    with pytest.raises(LoadLost):
        await generations.activate(db, generation, 1, 0, clock.now())
    assert await states(db) == ["removed"]
    assert await stored(db) == {}


async def test_loads_that_end_together_leave_exactly_one_active(
    db: Database, keys: Keys, clock: ManualClock, tmp_path: Path
) -> None:
    files = [written(tmp_path / f"{name}.csv", name) for name in ("甲", "乙", "丙")]
    async with asyncio.TaskGroup() as group:
        for file in files:
            group.create_task(load_csv(file, db, keys, clock))
    assert sorted(await states(db)) == ["active", "removed", "removed"]
    assert await owner(db, keys) in {"甲", "乙", "丙"}
    assert sorted((await stored(db)).values()) == [6]


async def test_two_generations_cannot_both_be_active(db: Database, clock: ManualClock) -> None:
    """The database itself refuses it, whatever the code above does."""
    for _ in range(2):
        await generations.begin(db, "source", clock.now())
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with db.transaction() as session:
            await session.execute(update(RegistryGeneration).values(state="active"))


async def test_a_database_that_is_away_makes_the_lookup_unavailable(keys: Keys) -> None:
    away = Database("postgresql+asyncpg://movecar@127.0.0.1:1/movecar")
    assert await owner(away, keys) == Unavailable(Outage.STORAGE)
    await away.close()
