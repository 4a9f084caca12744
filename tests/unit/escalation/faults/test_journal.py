"""The journal on a real file: what is written is found again, by another process too."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.common.clock import ManualClock
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.engine import Engine, Outcome
from services.escalation.faults.journal import Journal
from services.escalation.faults.records import Beat, Component, Delivery, Duty, Fault, Record

NOW = datetime(2026, 4, 1, tzinfo=UTC)
AFTER = timedelta(seconds=15)
BAD, GOOD = Reading("bad", "down"), Reading("good")


def engine(journal: Journal, clock: ManualClock) -> Engine:
    return Engine(journal, clock, {"desk": ["push"], "supervisor": ["email"]}, AFTER)


async def broken(journal: Journal, clock: ManualClock) -> Engine:
    """An engine that found the database down twenty seconds ago."""
    watcher = engine(journal, clock)
    await watcher.start()
    await watcher.observe({"database": GOOD})
    await clock.advance(20)
    await watcher.observe({"database": BAD})
    return watcher


async def test_a_new_engine_finds_what_the_killed_one_owed(tmp_path: Path) -> None:
    clock = ManualClock()
    first = Journal(tmp_path / "journal.sqlite3", clock)
    await broken(first, clock)
    # killed here: nothing is closed, nothing was sent
    second = Journal(tmp_path / "journal.sqlite3", clock)
    after = engine(second, clock)
    await after.start()
    tries = await after.due()
    assert {(one.duty.kind, one.duty.audience) for one in tries} == {
        ("fault", "desk"),
        ("fault", "supervisor"),
    }
    for one in tries:
        await after.settle(one, Outcome(proof="HTTP 204", by="desk system"))
    assert await after.due() == []
    ((fault,), notices) = await second.faults(10), await second.notices(tries[0].subject.id)
    assert (fault.component, fault.began_at) == ("database", NOW)
    assert {duty.state for duty, _ in notices} == {"kept"}
    assert {delivery.proof for _, sent in notices for delivery in sent} == {"HTTP 204"}
    await first.close()
    await second.close()


async def test_the_gap_since_the_last_beat_is_a_fault_and_a_recovery_of_our_own(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    before = engine(journal, clock)
    await before.start()
    await clock.advance(40)
    after = engine(journal, clock)
    await after.start()
    (gap,) = await journal.faults(10)
    assert (gap.component, gap.state, gap.began_at) == ("escalation", "recovered", NOW)
    kinds = {(one.duty.kind, one.duty.due_at) for one in await after.due() if one.duty.audience == "desk"}
    assert kinds == {("fault", NOW + timedelta(minutes=30))}  # the recovery follows its fault
    await journal.close()


async def test_a_short_restart_is_no_fault(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    await engine(journal, clock).start()
    await clock.advance(14)
    await engine(journal, clock).start()
    assert await journal.faults(10) == []
    await journal.close()


async def test_a_damaged_journal_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    clock = ManualClock()
    journal = Journal(path, clock)
    assert await journal.load() == []
    await journal.write([Beat("own", NOW)])
    assert [type(record) for record in await journal.load()] == [Beat]
    assert (tmp_path / "journal.sqlite3.damaged-20260401T000000").exists()
    await journal.close()


async def test_when_the_journal_cannot_be_written_notices_go_out_and_are_noted_later(tmp_path: Path) -> None:
    clock = ManualClock()

    class Full(Journal):
        full = False

        async def write(self, records: object) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            await super().write(records)  # type: ignore[arg-type]

    journal = Full(tmp_path / "journal.sqlite3", clock)
    watcher = engine(journal, clock)
    await watcher.start()
    await watcher.observe({"database": GOOD})
    journal.full = True
    await clock.advance(20)
    await watcher.observe({"database": BAD})
    tries = await watcher.due()
    assert len(tries) == 2
    for one in tries:
        await watcher.settle(one, Outcome(proof="taken", by="somebody"))
    assert watcher.unsaved
    journal.full = False
    await watcher.observe({"database": BAD})
    assert not watcher.unsaved
    (fault,) = await journal.faults(10)
    assert {duty.state for duty, _ in await journal.notices(fault.id)} == {"kept"}
    await journal.close()


async def test_changes_come_in_order_and_whole_however_small_the_bites(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    watcher = await broken(journal, clock)
    for one in await watcher.due():
        await watcher.settle(one, Outcome(proof="taken", by="somebody"))
    seen: list[tuple[int, str]] = []
    revision = 0
    while bite := await journal.changed_after(revision, 2):
        seen += [(at, record.id) for at, record in bite]
        revision = bite[-1][0]
    whole = await journal.changed_after(0, 1000)
    assert sorted(seen) == sorted((at, record.id) for at, record in whole)
    assert {type(record) for _, record in whole} == {Fault, Duty, Delivery}
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    await journal.close()


async def test_every_kind_of_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "journal.sqlite3", clock)
    watcher = await broken(journal, clock)
    await watcher.due()
    found = {(type(record), record.id): record for record in await journal.load()}
    book = watcher.book
    held: list[Record] = [
        *book.components.values(),
        *book.faults.values(),
        *book.duties.values(),
        *book.deliveries.values(),
    ]
    assert found | {(type(record), record.id): record for record in held} == found
    assert found[Component, "database"] == book.components["database"]
    await journal.close()


async def test_a_file_of_an_older_version_is_brought_to_this_one_with_what_it_has(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    path = tmp_path / "journal.sqlite3"
    older = Journal(path, clock)
    await broken(older, clock)
    await older.close()
    with sqlite3.connect(path) as file:
        file.execute("ALTER TABLE faults DROP COLUMN machine")
        file.execute("ALTER TABLE deliveries DROP COLUMN copies")
        file.execute("DELETE FROM counters WHERE name = 'identity'")
    newer = Journal(path, clock)
    after = engine(newer, clock)
    await after.start()
    assert len(await after.due()) == 2
    (fault,) = await newer.faults(10)
    assert (fault.component, fault.machine) == ("database", "")
    assert await newer.identity()
    await newer.close()
