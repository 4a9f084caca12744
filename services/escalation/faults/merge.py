"""What the journal has goes into the main database once that is there: no row lost, none twice (C4).

Rows keep their ids and carry the journal's revision; an older one never replaces a newer one. How far it
has got is noted in the journal after the commit: a crash in between merges the same rows again, in vain.
"""

from typing import Any, cast

import structlog
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.escalation.faults.journal import Journal
from services.escalation.faults.models import FaultDuty, FaultNotice, FaultRow
from services.escalation.faults.records import Delivery, Duty, Fault, Record

log = structlog.get_logger(__name__)

MERGED = "merged"
_AT_ONCE = 200
_EVERY_SECONDS = 5.0
_TABLES: dict[type[Record], Table] = {
    Fault: cast(Table, FaultRow.__table__),
    Duty: cast(Table, FaultDuty.__table__),
    Delivery: cast(Table, FaultNotice.__table__),
}


class Merger:
    """Follows one journal into the main database."""

    def __init__(self, journal: Journal, database: Database, clock: Clock) -> None:
        self._journal, self._database, self._clock = journal, database, clock

    async def run(self) -> None:
        """Merge for ever; a database that is away only delays it."""
        while True:
            try:
                while await self.merge():
                    pass
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("fault_merge_waits", error=repr(error))
            await self._clock.sleep(_EVERY_SECONDS)

    async def merge(self) -> int:
        """Merge up to 200 changes; return how many there were. Raises what either database raises."""
        changed = await self._journal.changed_after(await self._journal.counter(MERGED), _AT_ONCE)
        if not changed:
            return 0
        async with self._database.transaction() as session:
            for revision, record in changed:
                await _put(session, record, revision)
        await self._journal.keep_counter(MERGED, changed[-1][0])
        return len(changed)


async def _put(session: AsyncSession, record: Record, revision: int) -> None:
    table = _TABLES[type(record)]
    row = {
        name: revision if name == "revision" else getattr(record, name)
        for name in (column.name for column in table.columns)
    }
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(row)
    given = {name: statement.excluded[name] for name in row if name != "id"}
    newer = table.c.revision < statement.excluded.revision
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=given, where=newer))
