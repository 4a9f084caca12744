"""Every part that is watched: who is told of it, since when it was down, and how long it may be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.stack.ports import free_port
from services.common.clock import ManualClock
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.detection.probes import (
    GOOD,
    DatabaseProbe,
    DiskProbe,
    Probe,
    RedisProbe,
    bounded,
    skew,
)
from services.escalation.faults.engine import Engine
from services.escalation.faults.journal import Journal
from services.escalation.faults.notices import write
from services.escalation.faults.parts import PARTS

NOW = datetime(2026, 4, 1, tzinfo=UTC)
BAD = Reading("bad", "说明")
CHANNELS = {"desk": ["push"], "supervisor": ["supervisor_email"]}


@pytest.mark.parametrize("name", PARTS)
async def test_a_fault_began_when_the_part_was_last_good_and_reaches_whom_it_concerns(
    tmp_path: Path, name: str
) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    engine = Engine(journal, clock, CHANNELS, timedelta(seconds=15))  # type: ignore[arg-type]
    await engine.start()
    for _ in range(3):
        await engine.observe({name: GOOD})
        await clock.advance(2)
    for _ in range(10):
        await engine.observe({name: BAD})
        await clock.advance(2)
    (fault,) = [one for one in engine.book.faults.values() if one.component == name]
    assert fault.began_at == NOW + timedelta(seconds=4)
    tries = await engine.due()
    audiences = {one.duty.audience for one in tries}
    # The supervisor hears of everything, the desk only of what keeps citizens from being served.
    assert audiences == ({"desk", "supervisor"} if PARTS[name].downtime else {"supervisor"})
    assert {one.duty.due_at for one in tries} == {fault.began_at + timedelta(minutes=30)}
    said = write(tries[0].duty, fault).text
    assert PARTS[name].title + "自" in said
    assert PARTS[name].said in said
    assert "原因：说明" in said
    await journal.close()


async def test_a_part_may_be_away_for_a_time_of_its_own_which_does_not_move_its_beginning(
    tmp_path: Path,
) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    patience = {"operators": timedelta(minutes=5)}
    engine = Engine(journal, clock, CHANNELS, timedelta(seconds=15), patience=patience)  # type: ignore[arg-type]
    await engine.start()
    await engine.observe({"operators": GOOD, "pbx": GOOD})
    await clock.advance(299)
    await engine.observe({"operators": BAD, "pbx": BAD})
    assert {fault.component for fault in engine.book.faults.values()} == {"pbx"}
    await clock.advance(1)
    await engine.observe({"operators": BAD, "pbx": BAD})
    (fault,) = [one for one in engine.book.faults.values() if one.component == "operators"]
    assert (fault.began_at, fault.downtime) == (NOW, True)
    await journal.close()


def test_titles_tell_the_parts_apart() -> None:
    assert len({part.title for part in PARTS.values()}) == len(PARTS)


@pytest.mark.parametrize(
    ("date", "skewed"),
    [
        # to the second that is allowed
        ("Wed, 01 Apr 2026 00:00:00 GMT", False),
        ("Wed, 01 Apr 2026 00:00:05 GMT", False),
        ("Tue, 31 Mar 2026 23:59:55 GMT", False),
        # either way
        ("Wed, 01 Apr 2026 00:00:06 GMT", True),
        ("Tue, 31 Mar 2026 23:59:54 GMT", True),
        # what is no date says nothing
        ("", False),
        ("yesterday", False),
    ],
)
def test_a_neighbour_s_clock_is_compared(date: str, skewed: bool) -> None:
    assert bool(skew(date, NOW)) is skewed


async def test_a_disk_is_good_when_a_new_file_can_be_forced_out_to_it(tmp_path: Path) -> None:
    probe = DiskProbe(tmp_path / "var" / "faults")
    for _ in range(2):
        assert (await probe())["disk"] == GOOD


async def test_a_disk_that_takes_no_file_is_bad(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("in the way")
    assert (await DiskProbe(tmp_path / "faults")())["disk"].health == "bad"


async def test_a_database_and_a_redis_that_are_away_are_bad(tmp_path: Path) -> None:
    nobody = free_port()
    database = DatabaseProbe(f"postgresql+asyncpg://nobody:none@127.0.0.1:{nobody}/none", ManualClock())
    redis = RedisProbe(f"redis://127.0.0.1:{nobody}")
    here = DatabaseProbe(f"sqlite+aiosqlite:///{tmp_path}/here.sqlite3", ManualClock())
    asked: list[tuple[Probe, str, str]] = [
        (database, "database", "bad"),
        (redis, "redis", "bad"),
        (here, "database", "good"),
    ]
    for probe, name, health in asked:
        assert (await bounded(probe, [name], 3.0))[name].health == health
    for one in (database, redis, here):
        await one.close()
