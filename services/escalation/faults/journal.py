"""The journal of faults and notices: an SQLite file of this machine, apart from the main database (C4).

It must work while everything else is down, so it has tables of its own, made and changed here and not by the
migrations of the main database. A write is on the disk when it returns (WAL, `synchronous=FULL`). Every
write raises the revision; `changed_after` gives what the main database has not been told yet.
"""

import dataclasses
import secrets
import sqlite3
import types
import typing
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    and_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateColumn

from services.common.clock import Clock
from services.common.database import Database, UtcDateTime
from services.escalation.faults.book import KEEP_MAINTENANCE
from services.escalation.faults.records import (
    KINDS,
    UNKEPT,
    Beat,
    Component,
    Delivery,
    Duty,
    Fault,
    Finding,
    Maintenance,
    Record,
)

log = structlog.get_logger(__name__)

SCHEMA = 2
"""Version of the journal's tables. A later one adds columns; `_prepare` brings an older file to it."""
IDENTITY = "identity"
"""Counter that holds the file's own name: of two journals the main database must know which is which."""

_METADATA = MetaData()
_NAMES: dict[type[Record], str] = {
    Component: "components",
    Fault: "faults",
    Duty: "duties",
    Delivery: "deliveries",
    Finding: "findings",
    Maintenance: "maintenance",
    Beat: "beats",
}
_TYPES: dict[Any, Any] = {datetime: UtcDateTime, int: Integer, bool: Boolean, str: String, float: Float}
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


def _column(name: str, hint: Any) -> Column[Any]:
    options = typing.get_args(hint) if typing.get_origin(hint) in {types.UnionType, typing.Union} else ()
    kind = next((option for option in options if option is not types.NoneType), hint)
    return Column(
        name, _TYPES.get(kind, String), primary_key=name == "id", nullable=types.NoneType in options
    )


def _table(kind: type[Record]) -> Table:
    hints = typing.get_type_hints(kind)
    columns = [_column(name, hint) for name, hint in hints.items()]
    return Table(_NAMES[kind], _METADATA, *columns, Column("revision", Integer, nullable=False, index=True))


_TABLES = {kind: _table(kind) for kind in KINDS}
_FAULTS, _DUTIES, _DELIVERIES = _TABLES[Fault], _TABLES[Duty], _TABLES[Delivery]
_PLANS, _FINDINGS = _TABLES[Maintenance], _TABLES[Finding]
Index("ix_duties_subject", _DUTIES.c.subject)
Index("ix_duties_state", _DUTIES.c.state)
Index("ix_deliveries_duty", _DELIVERIES.c.duty)
Index("ix_deliveries_state", _DELIVERIES.c.state)
Index("ix_findings_fault", _FINDINGS.c.fault)
Index("ix_faults_detected", _FAULTS.c.detected_at, _FAULTS.c.id)
_COUNTERS = Table(
    "counters", _METADATA, Column("name", String, primary_key=True), Column("value", Integer, nullable=False)
)


class Journal:
    """The file and its tables. Making one touches nothing."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._database = self._connect()
        self._prepared = False

    def _connect(self) -> Database:
        return Database(f"sqlite+aiosqlite:///{self.path.absolute()}", pool_size=4)

    async def load(self) -> Sequence[Record]:
        """Return every record that is not settled, and all records of the same faults.

        A file that is damaged is put aside, under its name with the time, and a new one is begun.
        """
        try:
            await self._prepare()
            return await self._load()
        except DatabaseError as error:
            if getattr(error.orig, "sqlite_errorname", "") not in _DAMAGED and not _not_a_database(error):
                raise
        await self._put_aside()
        await self._prepare()
        return await self._load()

    async def _load(self) -> Sequence[Record]:
        unsettled = (
            select(_DUTIES.c.subject)
            .where(_DUTIES.c.state.in_(("pending", "late")))
            .union(
                select(_DUTIES.c.subject)
                .join(_DELIVERIES, _DELIVERIES.c.duty == _DUTIES.c.id)
                .where(_DELIVERIES.c.state == "pending"),
                select(_FAULTS.c.id).where(_FAULTS.c.state == "open"),
            )
        ).subquery()
        subjects = select(unsettled.c[0])
        recent = self._clock.now() - KEEP_MAINTENANCE
        duties = select(_DUTIES).where(_DUTIES.c.subject.in_(subjects))
        of_duties = select(_DUTIES.c.id).where(_DUTIES.c.subject.in_(subjects))
        wanted: dict[type[Record], Select[Any]] = {
            Component: select(_TABLES[Component]),
            Beat: select(_TABLES[Beat]),
            Fault: select(_FAULTS).where(_FAULTS.c.id.in_(subjects)),
            Duty: duties,
            Delivery: select(_DELIVERIES).where(_DELIVERIES.c.duty.in_(of_duties)),
            Finding: select(_FINDINGS).where(_FINDINGS.c.fault.in_(subjects)),
            Maintenance: select(_PLANS).where(or_(_PLANS.c.ends_at > recent, _PLANS.c.id.in_(subjects))),
        }
        found: list[Record] = []
        async with self._database.reading() as session:
            for kind, statement in wanted.items():
                found += await _read(session, kind, statement)
        return found

    async def write(self, records: Sequence[Record]) -> None:
        """Keep records, all or none, on the disk before it returns."""
        await self._prepare()
        async with self._database.transaction() as session:
            revision = await _raise_revision(session)
            for kind in KINDS:
                rows = [
                    {name: getattr(record, name) for name in _fields(kind)} | {"revision": revision}
                    for record in records
                    if type(record) is kind
                ]
                if rows:
                    insert = sqlite.insert(_TABLES[kind])
                    given = {name: insert.excluded[name] for name in (*_fields(kind), "revision")}
                    await session.execute(insert.on_conflict_do_update(["id"], set_=given), rows)

    async def known(self, keys: Sequence[tuple[type[Record], str]]) -> Sequence[Record]:
        """Return the records of these kinds and ids that there are, settled ones too."""
        await self._prepare()
        found: list[Record] = []
        async with self._database.reading() as session:
            for kind in {kind for kind, _ in keys}:
                ids = [record_id for one, record_id in keys if one is kind]
                table = _TABLES[kind]
                found += await _read(session, kind, select(table).where(table.c.id.in_(ids)))
        return found

    async def identity(self) -> int:
        """Return this file's own number, made with it: a journal that was lost and begun anew is another."""
        return await self.counter(IDENTITY)

    async def fault(self, fault_id: str) -> Fault | None:
        """Return one fault."""
        async with self._database.reading() as session:
            found = await _read(session, Fault, select(_FAULTS).where(_FAULTS.c.id == fault_id))
        return next(iter(found), None)

    async def finding(self, incident_id: str) -> Finding | None:
        """Return one incident."""
        async with self._database.reading() as session:
            found = await _read(session, Finding, select(_FINDINGS).where(_FINDINGS.c.id == incident_id))
        return next(iter(found), None)

    async def faults(
        self,
        limit: int,
        *,
        before: tuple[datetime, str] | None = None,
        component: str | None = None,
        state: str | None = None,
        drill: bool | None = None,
    ) -> list[Fault]:
        """Return faults, newest first, from below a place on."""
        statement = select(_FAULTS).order_by(_FAULTS.c.detected_at.desc(), _FAULTS.c.id.desc()).limit(limit)
        if before is not None:
            at, fault_id = before
            same = and_(_FAULTS.c.detected_at == at, _FAULTS.c.id < fault_id)
            statement = statement.where(or_(_FAULTS.c.detected_at < at, same))
        for column, value in ((_FAULTS.c.component, component), (_FAULTS.c.state, state)):
            if value is not None:
                statement = statement.where(column == value)
        if drill is not None:
            statement = statement.where(_FAULTS.c.drill == drill)
        async with self._database.reading() as session:
            return await _read(session, Fault, statement)

    async def notices(self, subject: str) -> list[tuple[Duty, list[Delivery]]]:
        """Return what is owed about a fault or a maintenance, each with its deliveries."""
        of_subject = select(_DUTIES.c.id).where(_DUTIES.c.subject == subject)
        async with self._database.reading() as session:
            duties: list[Duty] = await _read(
                session, Duty, select(_DUTIES).where(_DUTIES.c.subject == subject).order_by(_DUTIES.c.since)
            )
            deliveries: list[Delivery] = await _read(
                session, Delivery, select(_DELIVERIES).where(_DELIVERIES.c.duty.in_(of_subject))
            )
        return [(duty, [one for one in deliveries if one.duty == duty.id]) for duty in duties]

    async def promises(self, since: datetime) -> list[Duty]:
        """Return what the desk was owed from a moment on, or is owed still; see `promised`."""
        async with self._database.reading() as session:
            return await _read(session, Duty, promised(_DUTIES, _FAULTS, since))

    async def plans(self, after: datetime) -> list[Maintenance]:
        """Return the planned work that ends after a moment, in order."""
        async with self._database.reading() as session:
            return await _read(
                session,
                Maintenance,
                select(_PLANS).where(_PLANS.c.ends_at > after).order_by(_PLANS.c.begins_at),
            )

    async def changed_after(self, revision: int, limit: int) -> list[tuple[int, Record]]:
        """Return faults, duties and deliveries changed after a revision, each with its own, in order."""
        found: list[tuple[int, Record]] = []
        async with self._database.reading() as session:
            for kind in (Fault, Duty, Delivery):
                table = _TABLES[kind]
                statement = select(table).where(table.c.revision > revision)
                rows = await session.execute(statement.order_by(table.c.revision).limit(limit))
                found += [(row.revision, _record(kind, row)) for row in rows]
        found.sort(key=lambda pair: pair[0])
        # Up to the last revision that is here whole: what a limit cut off comes next time.
        whole = found[:limit]
        last = whole[-1][0] if whole else revision
        if len(found) > len(whole) and any(pair[0] == last for pair in found[limit:]):
            cut = [pair for pair in whole if pair[0] < last]
            return cut if cut else [pair for pair in found if pair[0] == last]
        return whole

    async def counter(self, name: str) -> int:
        """Return a number kept by name; 0 when there is none."""
        async with self._database.reading() as session:
            return await session.scalar(select(_COUNTERS.c.value).where(_COUNTERS.c.name == name)) or 0

    async def keep_counter(self, name: str, value: int) -> None:
        """Keep a number by name."""
        async with self._database.transaction() as session:
            insert = sqlite.insert(_COUNTERS).values(name=name, value=value)
            await session.execute(insert.on_conflict_do_update(["name"], set_={"value": value}))

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()

    async def _prepare(self) -> None:
        if self._prepared:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._database.engine.begin() as connection:
            await connection.run_sync(_METADATA.create_all)
            for table in _TABLES.values():
                await _add_columns(connection, table)
            identity = sqlite.insert(_COUNTERS).values(name=IDENTITY, value=secrets.randbits(62) + 1)
            await connection.execute(identity.on_conflict_do_nothing())
            await connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")
        self._prepared = True

    async def _put_aside(self) -> None:
        await self._database.close()
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S")
        for suffix in ("", "-wal", "-shm"):
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                file.rename(file.with_name(f"{file.name}.damaged-{stamp}"))
        log.error("journal_damaged", path=str(self.path))
        self._database, self._prepared = self._connect(), False


def promised(duties: Table, faults: Table, since: datetime) -> Select[Any]:
    """Select the desk's notices of faults and recoveries since a moment, and all not given; no drills.

    For the journal's tables and for those of the main database that follow them.
    """
    return (
        select(duties)
        .join(faults, faults.c.id == duties.c.subject)
        .where(
            duties.c.audience == "desk",
            duties.c.kind.in_(("fault", "recovery")),
            ~faults.c.drill,
            or_(duties.c.since >= since, duties.c.state.in_(sorted(UNKEPT))),
        )
    )


async def _add_columns(connection: AsyncConnection, table: Table) -> None:
    """Bring a table of an older file to this version; what it holds gets the new fields' defaults."""
    there = {row.name for row in await connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
    kind = next(kind for kind, found in _TABLES.items() if found is table)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for column in table.columns:
        if column.name not in there:
            value = defaults[column.name]
            shown = value if isinstance(value, int) else f"'{value}'"
            made = CreateColumn(column).compile(dialect=connection.dialect)
            await connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {made} DEFAULT {shown}")


async def _raise_revision(session: AsyncSession) -> int:
    insert = sqlite.insert(_COUNTERS).values(name="revision", value=0).on_conflict_do_nothing()
    await session.execute(insert)
    raised = await session.execute(
        update(_COUNTERS)
        .where(_COUNTERS.c.name == "revision")
        .values(value=_COUNTERS.c.value + 1)
        .returning(_COUNTERS.c.value)
    )
    return int(raised.scalar_one())


def _fields(kind: type[Record]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _record(kind: type[Record], row: Any) -> Any:
    return kind(**{name: getattr(row, name) for name in _fields(kind)})


async def _read(session: AsyncSession, kind: type[Record], statement: Any) -> list[Any]:
    return [_record(kind, row) for row in await session.execute(statement)]


def _not_a_database(error: DatabaseError) -> bool:
    return isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig)
