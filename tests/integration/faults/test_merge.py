"""The journal's rows arrive in the main database once each, whatever dies when, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.common.clock import ManualClock
from services.common.database import Database
from services.escalation.faults.engine import Engine, Outcome
from services.escalation.faults.journal import Journal
from services.escalation.faults.merge import SHARED, Merger
from services.escalation.faults.models import FaultDuty, FaultNotice, FaultRow
from services.escalation.faults.pair.messages import Role
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.records import Duty
from tests.support.tables import create_tables
from tests.unit.escalation.faults.test_journal import BAD, GOOD, broken


@asynccontextmanager
async def merging(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Database, Callable[[Any], Awaitable[list[Any]]]]]:
    """A main database, and a way to read what was merged into it."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'main.sqlite3'}"
    database = Database(url if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    await create_tables(database)

    async def rows(model: Any) -> list[Any]:
        async with database.reading() as session:
            return list(await session.scalars(select(model)))

    yield database, rows
    await database.close()


class Dying(Journal):
    """A journal whose process dies before it has noted how far it has got."""

    async def keep_counter(self, name: str, value: int) -> None:
        raise ConnectionError("killed")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_rows_are_merged_whole_and_once_although_the_process_dies_in_between(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with merging(kind, tmp_path, request) as (database, rows):
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
        for closing in (journal, dying):
            await closing.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_two_machines_journals_and_one_begun_anew_become_one_history(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with merging(kind, tmp_path, request) as (database, rows):
        clock = ManualClock()
        journals = [Journal(tmp_path / f"{name}.sqlite3", clock) for name in ("active", "standby", "new")]
        active, standby, new = journals
        # Apart, both find the fault and tell of it; the standby sees its end.
        roles: list[tuple[Journal, Role]] = [(active, "active"), (standby, "standby")]
        watchers = [
            Engine(
                journal,
                clock,
                {"desk": ["push"], "supervisor": ["email"]},
                timedelta(seconds=15),
                pair=Pair(role, clock),
            )
            for journal, role in roles
        ]
        for watcher in watchers:
            await watcher.start()
            await watcher.observe({"database": GOOD})
        await clock.advance(20)
        for watcher in watchers:
            await watcher.observe({"database": BAD})
            for one in await watcher.due():
                await watcher.settle(one, Outcome(proof="HTTP 204", by="desk"))
        await watchers[1].observe({"database": GOOD})
        await clock.advance(6)
        await watchers[1].observe({"database": GOOD})
        # The second machine is further on when it merges, and the first one comes last, with less to say.
        mergers = [Merger(journal, database, clock) for journal in (standby, active)]
        async with asyncio.TaskGroup() as group:
            for merger in mergers:
                group.create_task(merger.merge())
        (fault,) = [fault for fault in await rows(FaultRow) if fault.component == "database"]
        assert (fault.state, fault.journal) == ("recovered", SHARED)
        duties = {duty.id: duty.state for duty in await rows(FaultDuty) if duty.subject == fault.id}
        assert duties[f"{fault.id}-fault-desk"] == "kept"
        assert f"{fault.id}-recovery-desk" in duties
        assert {
            notice.copies for notice in await rows(FaultNotice) if notice.duty in duties and notice.proof
        } == {2}
        # A lost journal begins at revision 1 again: what it says of a known fault still counts.
        again = await standby.known([(Duty, f"{fault.id}-recovery-desk")])
        kept = [replace(duty, state="kept", kept_at=clock.now()) for duty in again if isinstance(duty, Duty)]
        await new.write(kept)
        await Merger(new, database, clock).merge()
        states = {duty.id: duty.state for duty in await rows(FaultDuty)}
        assert states[f"{fault.id}-recovery-desk"] == "kept"
        for journal in journals:
            await journal.close()
