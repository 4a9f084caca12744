"""Every line that the switch writes is stored once, whatever happens to its file and to the collector."""

import itertools
import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from services.common.clock import SystemClock
from services.common.database import Database
from services.outbound.evidence import files
from services.outbound.evidence.collector import LOST, UNAVAILABLE, UNREADABLE, Collector, StalePosition
from services.outbound.evidence.line import write_line
from services.outbound.evidence.models import CallRecordFile, CallRecordSource, StoredCallRecord
from services.outbound.models import Incident
from tests.unit.outbound.evidence.switch import Switch, call_record


def collector_of(database: Database, switch: Switch) -> Collector:
    return Collector(database, SystemClock(), "pbx", switch.path)


async def collect(collector: Collector) -> None:
    while await collector.collect():
        pass


async def stored(database: Database) -> list[str]:
    async with database.reading() as session:
        return list(await session.scalars(select(StoredCallRecord.unique_id).order_by(StoredCallRecord.seq)))


async def incidents(database: Database, kind: str | None = None) -> Sequence[Incident]:
    async with database.reading() as session:
        found = (await session.scalars(select(Incident).order_by(Incident.opened_at))).all()
    return [incident for incident in found if kind in {None, incident.kind}]


async def test_records_are_stored_in_the_order_they_were_written(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    for _ in range(3):
        switch.calls(5)
        await collect(collector)
    assert await stored(database) == switch.written


async def test_a_switch_that_has_written_nothing_yet_is_no_fault(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    await collect(collector)
    assert await incidents(database) == []
    switch.calls(1)
    await collect(collector)
    assert await stored(database) == switch.written


async def test_a_half_written_line_waits_for_its_end(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    record = call_record()
    line = write_line(record)
    for end in (1, 40, len(line) - 1):
        switch.append(line[switch.path.stat().st_size if switch.path.exists() else 0 : end])
        await collect(collector)
        assert await stored(database) == []
    switch.append(b"\n")
    await collect(collector)
    assert await stored(database) == [record.unique_id]
    assert await incidents(database) == []


async def test_a_repeated_line_is_stored_once(database: Database, switch: Switch) -> None:
    line = write_line(call_record())
    switch.append(line * 3)
    await collect(collector_of(database, switch))
    assert len(await stored(database)) == 1


async def test_lines_written_before_and_after_a_rotation_are_all_read(
    database: Database, switch: Switch
) -> None:
    collector = collector_of(database, switch)
    switch.calls(3)
    await collect(collector)
    switch.calls(2)  # not read before the file is renamed
    switch.rotate()
    switch.calls(2)
    await collect(collector)
    assert await stored(database) == switch.written


async def test_rotations_while_nobody_collected_are_caught_up_with(
    database: Database, switch: Switch
) -> None:
    switch.calls(3)
    await collect(collector_of(database, switch))
    for number in range(4):
        switch.calls(2)
        switch.rotate(f"-2026040{number + 1}")
    switch.calls(1)
    await collect(collector_of(database, switch))
    assert sorted(await stored(database)) == sorted(switch.written)


async def test_a_file_that_is_copied_and_truncated_loses_nothing(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    switch.calls(3)
    await collect(collector)
    switch.calls(2)
    switch.copy_and_truncate()
    switch.calls(1)
    await collect(collector)
    assert sorted(await stored(database)) == sorted(switch.written)
    assert await incidents(database) == []


async def test_a_file_that_shrinks_without_a_copy_is_an_incident(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    switch.calls(3)
    await collect(collector)
    switch.path.write_bytes(b"")
    switch.calls(1)
    await collect(collector)
    assert await stored(database) == switch.written
    assert [incident.kind for incident in await incidents(database)] == [LOST]


async def test_a_file_that_was_replaced_by_a_longer_one_is_read_from_its_beginning(
    database: Database, switch: Switch
) -> None:
    collector = collector_of(database, switch)
    switch.calls(1)
    await collect(collector)
    switch.path.write_bytes(b"")  # the same inode, and soon as long as before
    switch.calls(4)
    await collect(collector)
    assert await stored(database) == switch.written


async def test_every_unreadable_line_is_an_incident_with_its_number(
    database: Database, switch: Switch
) -> None:
    switch.calls(2)
    switch.append(b"not a record\n")
    switch.calls(1)
    switch.append(b"\x00\x00\n\xff\xff\n\n")
    switch.calls(1)
    await collect(collector_of(database, switch))
    assert await stored(database) == switch.written
    found = [incident.detail for incident in await incidents(database, UNREADABLE)]
    assert sorted((detail["line"], detail["lines"]) for detail in found) == [(3, 1), (5, 3)]
    assert not any("not a record" in str(detail) for detail in found), "what it holds may be personal data"


async def test_an_unreadable_line_is_not_reported_again_from_a_copy(
    database: Database, switch: Switch
) -> None:
    collector = collector_of(database, switch)
    switch.append(b"not a record\n")
    await collect(collector)
    switch.copy_and_truncate()
    await collect(collector)
    assert len(await incidents(database, UNREADABLE)) == 1


async def test_a_line_without_end_is_read_in_pieces_and_blocks_nothing(
    database: Database, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 1024)
    switch.append(b"x" * 5000 + b"\n")
    switch.calls(2)
    await collect(collector_of(database, switch))
    assert await stored(database) == switch.written
    assert await incidents(database, UNREADABLE)


async def test_more_lines_than_are_read_at_a_time_are_all_read(
    database: Database, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 1024)
    switch.calls(50)
    await collect(collector_of(database, switch))
    assert await stored(database) == switch.written


async def test_the_last_line_of_a_rotated_file_counts_when_nothing_can_follow_it(
    database: Database, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = collector_of(database, switch)
    switch.calls(1)
    switch.append(b'"half a')
    switch.rotate()
    await collect(collector)
    assert await incidents(database) == []
    monkeypatch.setattr(files, "SETTLED_SECONDS", -1.0)
    await collect(collector)
    assert [incident.kind for incident in await incidents(database)] == [UNREADABLE]


async def test_a_directory_that_cannot_be_read_is_an_incident_until_it_can(
    database: Database, switch: Switch
) -> None:
    collector = collector_of(database, switch)
    switch.path.parent.rmdir()
    await collect(collector)
    await collect(collector)
    (away,) = await incidents(database)
    assert (away.kind, away.closed_at) == (UNAVAILABLE, None)
    switch.path.parent.mkdir()
    switch.calls(1)
    await collect(collector)
    (away,) = await incidents(database)
    assert away.closed_by == "system"
    assert await stored(database) == switch.written


async def test_a_link_is_not_followed(database: Database, switch: Switch, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(write_line(call_record()))
    switch.path.symlink_to(other)
    await collect(collector_of(database, switch))
    assert await stored(database) == []
    assert [incident.kind for incident in await incidents(database)] == [UNAVAILABLE]


class Killed(Exception):
    """The process dies here."""


class Fuse:
    """Kills whoever works with a database at its n-th statement or commit, once."""

    def __init__(self, database: Database) -> None:
        self.left = -1
        engine = database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._burn)
        event.listen(engine, "commit", self._burn)

    def _burn(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


async def test_a_collector_killed_at_any_statement_or_commit_stores_everything_once(
    database: Database, switch: Switch
) -> None:
    """Position and records are committed together: neither is ever ahead of the other."""
    fuse = Fuse(database)
    unreadable = 0
    for at in itertools.count(1):
        switch.calls(3)
        switch.append(f"unreadable {at}\n".encode())
        unreadable += 1
        if at % 3 == 0:
            switch.rotate(f".{at}")
            switch.calls(1)
        fuse.left = at
        try:
            await collect(collector_of(database, switch))
        except Killed:
            await collect(collector_of(database, switch))  # the next start
            continue
        break
    fuse.left = -1
    assert at > 8, "the pass was shorter than a pass is"
    assert sorted(await stored(database)) == sorted(switch.written)
    assert len(await incidents(database, UNREADABLE)) == unreadable


async def test_of_two_collectors_on_one_file_only_one_stores_a_line(
    database: Database, switch: Switch
) -> None:
    first, second = collector_of(database, switch), collector_of(database, switch)
    switch.calls(2)
    await collect(first)
    await collect(second)
    switch.calls(2)
    await collect(first)
    with pytest.raises(StalePosition):
        await collect(second)
    assert await stored(database) == switch.written


async def test_what_was_read_by_when_is_noted(database: Database, switch: Switch) -> None:
    switch.calls(1)
    before = SystemClock().now()
    await collect(collector_of(database, switch))
    async with database.reading() as session:
        read_at = await session.scalar(select(CallRecordSource.read_at))
    assert isinstance(read_at, datetime)
    assert before <= read_at <= SystemClock().now()


async def test_positions_of_files_that_are_gone_are_forgotten(database: Database, switch: Switch) -> None:
    collector = collector_of(database, switch)
    switch.calls(1)
    await collect(collector)
    rotated = switch.rotate()
    switch.calls(1)
    await collect(collector)
    rotated.unlink()
    await collect(collector)
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(CallRecordFile)) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_to_the_file_every_line_is_stored_once(
    database: Database, switch: Switch, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 700)
    chance = random.Random(seed)
    collector = collector_of(database, switch)
    switch.calls(1)
    for step in range(60):
        match chance.randrange(6):
            case 0 | 1:
                switch.calls(chance.randrange(8))
            case 2 | 3:
                await collect(collector)
            case 4:
                collector = collector_of(database, switch)  # as after a kill
            case 5:
                chance.choice([switch.rotate, switch.copy_and_truncate])(f".{step}")
                switch.calls(1)
    await collect(collector)
    assert sorted(await stored(database)) == sorted(switch.written), f"seed {seed}"
