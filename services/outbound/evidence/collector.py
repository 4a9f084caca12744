"""Takes what the switch wrote down about its calls into the database, line by line, whatever is live (B4).

Nothing here looks at AMI: what is collected is evidence because it does not come from what it is to prove.
"""

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import structlog
from sqlalchemy import Table, bindparam, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates, is_outage, rows_changed
from services.outbound.evidence.facts import RECORDS, SOURCES
from services.outbound.evidence.files import CallRecordFiles, Chunk, FileId, Position, digest
from services.outbound.evidence.line import CallRecord, UnreadableLine, read_line
from services.outbound.evidence.models import CallRecordFile
from services.outbound.incidents import close_incident, open_incident
from services.outbound.metrics import CALL_RECORDS
from services.outbound.models import Incident

log = structlog.get_logger(__name__)

UNREADABLE: Final = "call_record_unreadable"
UNAVAILABLE: Final = "call_records_unavailable"
LOST: Final = "call_records_lost"

_LOOK_SECONDS: Final = 2.0
"""How often the files are looked at. Evidence is in no hurry, and rarer transactions are cheaper."""
_MARK_AFTER: Final = timedelta(seconds=10)
"""How often it is noted that nothing new was there."""
_OUTAGE_SECONDS: Final = 2.0

FILES: Final = cast(Table, CallRecordFile.__table__)
_INCIDENTS: Final = cast(Table, Incident.__table__)
_STORE: Final = {
    name: dialect.insert(RECORDS).on_conflict_do_nothing(index_elements=["id"])
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
_MARK: Final = update(SOURCES).where(SOURCES.c.node == bindparam("of")).values(read_at=bindparam("moment"))
_FORGET: Final = delete(FILES).where(
    FILES.c.node == bindparam("of"),
    FILES.c.device == bindparam("on"),
    FILES.c.inode == bindparam("number"),
)
_ADVANCE: Final = (
    update(FILES)
    .where(
        FILES.c.node == bindparam("of"),
        FILES.c.device == bindparam("on"),
        FILES.c.inode == bindparam("number"),
        FILES.c.offset == bindparam("was"),
        FILES.c.line_digest == bindparam("was_digest"),
    )
    .values(
        offset=bindparam("new_offset"),
        lines=bindparam("new_lines"),
        line_at=bindparam("new_line_at"),
        line_digest=bindparam("new_line_digest"),
    )
)


class StalePosition(Exception):
    """Another instance has read on in this file; what it read is in the database."""


class Collector:
    """Follows the call-record files of one switch, `node`. Several may follow the same ones."""

    def __init__(
        self, database: Database, clock: Clock, node: str, path: Path, *, every: float = _LOOK_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._every = every
        self._files = CallRecordFiles(path)
        self._known: dict[FileId, Position] | None = None
        self._marked_at: datetime | None = None
        self._away = False

    async def run(self) -> None:
        """Collect for ever. A database that is away delays records and loses none."""
        while True:
            wait = self._every
            try:
                while await self.collect():
                    pass
            except StalePosition:
                self._start_over()
            except Exception as error:
                self._start_over()
                if not is_outage(error):
                    raise
                log.warning("call_records_wait", node=self._node, error=repr(error))
                wait = _OUTAGE_SECONDS
            await self._clock.sleep(wait)

    def _start_over(self) -> None:
        self._known = None
        self._files.forget()

    async def collect(self) -> bool:
        """Store what is new; tell whether there was so much that there may be more.

        Raises StalePosition, and what the database raises; nothing is lost by it.
        """
        if self._known is None:
            self._known = await self._load()
        looked_at = self._clock.now()
        try:
            chunks, present = await asyncio.to_thread(self._files.read, self._known, time.time())
        except OSError as error:
            await self._unavailable(error)
            return False
        gone = self._known.keys() - present
        quiet = self._marked_at is not None and looked_at - self._marked_at < _MARK_AFTER
        if chunks or gone or self._away or not quiet:
            await self._write(chunks, gone, looked_at)
        return any(chunk.more for chunk in chunks)

    async def _load(self) -> dict[FileId, Position]:
        async with self._database.transaction() as session:
            await session.execute(
                insert_ignoring_duplicates(session, SOURCES, {"node": self._node, "checked_seq": 0})
            )
            rows = await session.execute(select(FILES).where(FILES.c.node == self._node))
            return {
                (row.device, row.inode): Position(row.offset, row.lines, row.line_at, row.line_digest)
                for row in rows
            }

    async def _write(self, chunks: list[Chunk], gone: set[FileId], looked_at: datetime) -> None:
        known = cast(dict[FileId, Position], self._known)
        stored = unreadable = 0
        async with self._database.transaction() as session:
            # First of all: whoever collects from the same switch waits here, and finds itself stale below.
            await session.execute(
                select(SOURCES.c.node).where(SOURCES.c.node == self._node).with_for_update()
            )
            for chunk in chunks:
                await self._move_on(session, chunk)
                rows, faults = self._read(chunk, looked_at)
                if rows:
                    await session.execute(_STORE[session.get_bind().dialect.name], rows)
                for fault in faults:
                    await _report(session, fault, looked_at)
                if chunk.lost:
                    await open_incident(session, LOST, self._node, looked_at, detail={"node": self._node})
                stored, unreadable = stored + len(rows), unreadable + sum(fault["lines"] for fault in faults)
            for device, inode in gone:
                await session.execute(_FORGET, {"of": self._node, "on": device, "number": inode})
            if not any(chunk.more for chunk in chunks):
                await session.execute(_MARK, {"of": self._node, "moment": looked_at})
            if self._away:
                await close_incident(session, UNAVAILABLE, self._node, looked_at)
        self._known = {file: at for file, at in known.items() if file not in gone} | {
            chunk.file: chunk.after for chunk in chunks
        }
        self._marked_at, self._away = looked_at, False
        CALL_RECORDS.labels("stored").inc(stored)
        CALL_RECORDS.labels("unreadable").inc(unreadable)

    async def _move_on(self, session: AsyncSession, chunk: Chunk) -> None:
        device, inode = chunk.file
        after = {
            "offset": chunk.after.offset,
            "lines": chunk.after.lines,
            "line_at": chunk.after.line_at,
            "line_digest": chunk.after.line_digest,
        }
        if chunk.before is None:
            row = {"node": self._node, "device": device, "inode": inode} | after
            moved = await session.execute(insert_ignoring_duplicates(session, FILES, row))
        else:
            guard = {"was": chunk.before.offset, "was_digest": chunk.before.line_digest}
            target = {"of": self._node, "on": device, "number": inode}
            values = {f"new_{name}": value for name, value in after.items()}
            moved = await session.execute(_ADVANCE, guard | target | values)
        if rows_changed(moved) != 1:
            raise StalePosition
        if chunk.shrank:
            log.warning("call_record_file_shrank", node=self._node, lost=chunk.lost)

    def _read(self, chunk: Chunk, now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of the lines that can be read, and what is to be told of the others, in runs."""
        rows: list[dict[str, Any]] = []
        faults: list[dict[str, Any]] = []
        for number, line in chunk.lines:
            identity = digest(self._node.encode(), line)
            try:
                rows.append(_row(read_line(line), identity, self._node, now))
            except UnreadableLine as error:
                last = faults[-1] if faults else None
                if last is not None and last["line"] + last["lines"] == number:
                    last["lines"] += 1
                    last["digest"] = digest(last["digest"].encode(), identity.encode())
                else:
                    fault = {"node": self._node, "line": number, "lines": 1, "fault": str(error)}
                    faults.append(fault | {"digest": digest(str(number).encode(), identity.encode())})
        return rows, faults

    async def _unavailable(self, error: OSError) -> None:
        """The files cannot be read: said once, and nothing is compared with what they would say."""
        if self._away:
            return
        log.error("call_records_unavailable", node=self._node, error=repr(error))
        detail = {"node": self._node, "error": type(error).__name__}
        async with self._database.transaction() as session:
            await open_incident(session, UNAVAILABLE, self._node, self._clock.now(), detail=detail)
        self._away = True


def _row(record: CallRecord, identity: str, node: str, now: datetime) -> dict[str, Any]:
    return {
        "id": identity,
        "node": node,
        "attempt_id": record.attempt_id,
        "unique_id": record.unique_id,
        "linked_id": record.linked_id,
        "channel": record.channel,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration": record.duration,
        "billed": record.billed,
        "disposition": record.disposition,
        "sequence": record.sequence,
        "collected_at": now,
    }


async def _report(session: AsyncSession, fault: dict[str, Any], now: datetime) -> None:
    """Open an incident for lines that cannot be read; not again for those that a copy repeats."""
    subject = fault.pop("digest")
    known = await session.scalar(
        select(exists().where(_INCIDENTS.c.kind == UNREADABLE, _INCIDENTS.c.subject == subject))
    )
    if not known:
        await open_incident(session, UNREADABLE, subject, now, detail=fault)
