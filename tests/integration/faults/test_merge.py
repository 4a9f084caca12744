"""The journal's rows arrive in the main database once each, whatever dies when, on both databases."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.common.clock import ManualClock
from services.common.database import Database
from services.escalation.faults.journal import Journal
from services.escalation.faults.merge import Merger
from services.escalation.faults.models import FaultDuty, FaultNotice, FaultRow
from tests.support.tables import create_tables
from tests.unit.escalation.faults.test_journal import GOOD, broken


class Dying(Journal):
    """A journal whose process dies before it has noted how far it has got."""

    async def keep_counter(self, name: str, value: int) -> None:
        raise ConnectionError("killed")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_rows_are_merged_whole_and_once_although_the_process_dies_in_between(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'main.sqlite3'}"
    database = Database(url if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    await create_tables(database)
    clock = ManualClock()
    journal, dying = (made(tmp_path / "journal.sqlite3", clock) for made in (Journal, Dying))
    watcher = await broken(journal, clock)
    await watcher.due()
    with pytest.raises(ConnectionError):
        await Merger(dying, database, clock).merge()
    # It goes on: delivered, recovered; and is merged by the next process.
    for delivery in list(watcher.book.deliveries.values()):
        await watcher.change(watcher.proved(delivery, clock.now(), "HTTP 204", "desk system"))
    await watcher.observe({"database": GOOD})
    await clock.advance(6)
    await watcher.observe({"database": GOOD})
    merger = Merger(journal, database, clock)
    while await merger.merge():
        pass
    assert await merger.merge() == 0

    async def rows(model: Any) -> list[Any]:
        async with database.reading() as session:
            return list(await session.scalars(select(model)))

    (fault,) = await rows(FaultRow)
    assert (fault.component, fault.state) == ("database", "recovered")
    assert sorted((duty.kind, duty.audience) for duty in await rows(FaultDuty)) == [
        ("fault", "desk"),
        ("fault", "supervisor"),
        ("recovery", "desk"),
        ("recovery", "supervisor"),
    ]
    assert {(notice.channel, notice.proof) for notice in await rows(FaultNotice)} == {
        ("push", "HTTP 204"),
        ("email", "HTTP 204"),
    }
    for closing in (journal, dying, database):
        await closing.close()
