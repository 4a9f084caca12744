"""What the journals have goes into the main database once that is there: no row lost, none twice (C4).

Rows keep their ids. What one journal alone knows follows it: an older revision never replaces a newer one.
What two know, because two machines keep watch or a journal was lost and begun anew, is put together
(`pair.joined`), in whatever order they come. How far a journal has got is noted in it after the commit: a
crash in between merges the same rows again, in vain.
"""

from dataclasses import dataclass, fields
from typing import Any, cast

from sqlalchemy import Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database
from services.common.tasks import repeat
from services.escalation.faults.journal import Journal
from services.escalation.faults.models import FaultDuty, FaultNotice, FaultRow
from services.escalation.faults.pair.joined import joined
from services.escalation.faults.records import Delivery, Duty, Fault, Record

MERGED = "merged"
SHARED = 0
"""`journal` of a row that more than one journal knows of."""
_AT_ONCE = 200
_EVERY_SECONDS = 5.0
_TABLES: dict[type[Record], Table] = {
    Fault: cast(Table, FaultRow.__table__),
    Duty: cast(Table, FaultDuty.__table__),
    Delivery: cast(Table, FaultNotice.__table__),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A record in the main database, the journal it came from, and that one's revision at its last change."""

    record: Record
    revision: int
    journal: int


def merged(there: Row, new: Row) -> Row:
    """Return what the main database has of a record once a journal has told of it."""
    if there.journal == new.journal:
        return new if new.revision > there.revision else there
    return Row(joined(there.record, new.record), new.revision, SHARED)


class Merger:
    """Follows one journal into the main database."""

    def __init__(self, journal: Journal, database: Database, clock: Clock) -> None:
        self._journal, self._database, self._clock = journal, database, clock

    async def run(self) -> None:
        """Merge for ever; a database that is away only delays it."""
        await repeat(self._catch_up, self._clock, _EVERY_SECONDS, "fault_merge_waits")

    async def _catch_up(self) -> None:
        while await self.merge():
            pass

    async def merge(self) -> int:
        """Merge up to 200 changes; return how many there were. Raises what either database raises."""
        changed = await self._journal.changed_after(await self._journal.counter(MERGED), _AT_ONCE)
        if not changed:
            return 0
        journal = await self._journal.identity()
        # In one order: two machines that merge at once wait for each other instead of blocking each other.
        ordered = sorted(changed, key=lambda pair: (_TABLES[type(pair[1])].name, pair[1].id))
        async with self._database.transaction() as session:
            for revision, record in ordered:
                await _put(session, record, revision, journal)
        await self._journal.keep_counter(MERGED, changed[-1][0])
        return len(changed)


async def _put(session: AsyncSession, record: Record, revision: int, journal: int) -> None:
    table = _TABLES[type(record)]
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = Row(record, revision, journal)
    made = insert(table).values(_values(new)).on_conflict_do_nothing().returning(table.c.id)
    if (await session.execute(made)).first() is not None:
        return
    found = (await session.execute(select(table).where(table.c.id == record.id).with_for_update())).one()
    kind = type(record)
    known = kind(**{one.name: getattr(found, one.name) for one in fields(kind)})
    there = Row(known, found.revision, found.journal)
    after = merged(there, new)
    if after != there:
        await session.execute(update(table).where(table.c.id == record.id).values(_values(after)))


def _values(row: Row) -> dict[str, Any]:
    record = {one.name: getattr(row.record, one.name) for one in fields(row.record)}
    return record | {"revision": row.revision, "journal": row.journal}
