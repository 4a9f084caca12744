"""Generations of the local registry: a load becomes visible as a whole or not at all.

    loading ─activate→ active ─replaced→ retired ─swept→ removed
       └─given up, or its loader fell silent─────┘

A lookup sees the one active generation. A crash in a load leaves the active one as it was, and the next
`sweep` takes the remains away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from services.common.clock import Clock
from services.common.database import Database, rows_changed
from services.movecar.plates import Color
from services.movecar.registry.models import RegistryGeneration, RegistryVehicle

SILENCE = timedelta(minutes=2)
"""A loader that has not stored a batch for so long is dead (a batch takes well under a second)."""
_DELETE_BATCH = 2_000


class LoadLost(Exception):
    """The generation being loaded was given up by someone else, e.g. while this machine was suspended."""


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A vehicle ready to be stored."""

    plate_index: bytes
    color: Color
    line: int
    sealed: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row whose plate and colour an earlier line had already."""

    line: int
    first_line: int


async def begin(db: Database, source: str, now: datetime) -> int:
    """Open a generation for loading and return its id."""
    async with db.transaction() as session:
        generation = RegistryGeneration(state="loading", source=source, started_at=now, touched_at=now)
        session.add(generation)
        await session.flush()
        return generation.id


async def store(db: Database, generation: int, rows: Sequence[SealedRow], now: datetime) -> list[Duplicate]:
    """Store a batch in one transaction; the first of equal plate and colour stays, the others are returned.

    Raises LoadLost when the generation is no longer loading.
    """
    fresh, duplicates = _first_of_each(rows, {})
    async with db.transaction() as session:
        alive = update(RegistryGeneration).where(
            RegistryGeneration.id == generation, RegistryGeneration.state == "loading"
        )
        if rows_changed(await session.execute(alive.values(touched_at=now))) == 0:
            raise LoadLost
        if not fresh:
            return duplicates
        try:
            async with session.begin_nested():
                await session.execute(*_insertion(generation, fresh))
        except IntegrityError:
            # Only now is it worth asking which of them earlier batches had: exports rarely have any.
            stored = await session.execute(
                select(RegistryVehicle.plate_index, RegistryVehicle.color, RegistryVehicle.line).where(
                    RegistryVehicle.generation_id == generation,
                    RegistryVehicle.plate_index.in_([row.plate_index for row in fresh]),
                )
            )
            fresh, known = _first_of_each(fresh, {(index, color): line for index, color, line in stored})
            duplicates += known
            if fresh:
                await session.execute(*_insertion(generation, fresh))
    return duplicates


def _insertion(generation: int, rows: Sequence[SealedRow]) -> tuple[Any, list[dict[str, Any]]]:
    table = cast(Table, RegistryVehicle.__table__)
    return insert(table), [
        {
            "generation_id": generation,
            "plate_index": row.plate_index,
            "color": str(row.color),
            "line": row.line,
            "sealed": row.sealed,
        }
        for row in rows
    ]


def _first_of_each(
    rows: Sequence[SealedRow], seen: dict[tuple[bytes, str], int]
) -> tuple[list[SealedRow], list[Duplicate]]:
    fresh, duplicates = [], []
    for row in rows:
        first = seen.setdefault((row.plate_index, str(row.color)), row.line)
        if first == row.line:
            fresh.append(row)
        else:
            duplicates.append(Duplicate(row.line, first))
    return fresh, duplicates


async def activate(db: Database, generation: int, vehicles: int, rejected: int, now: datetime) -> None:
    """Make a loaded generation the one lookups see, and retire the one before it, in one transaction.

    Raises LoadLost when the generation is no longer loading.
    """
    async with db.transaction() as session:
        # Two loads that end together take turns here, so that each sees what the other has made active.
        await session.execute(select(RegistryGeneration.id).order_by(RegistryGeneration.id).with_for_update())
        active = update(RegistryGeneration).where(RegistryGeneration.state == "active")
        await session.execute(active.values(state="retired", touched_at=now))
        loaded = update(RegistryGeneration).where(
            RegistryGeneration.id == generation, RegistryGeneration.state == "loading"
        )
        values = {"state": "active", "vehicles": vehicles, "rejected": rejected, "activated_at": now}
        if rows_changed(await session.execute(loaded.values(touched_at=now, **values))) == 0:
            raise LoadLost


async def give_up(db: Database, generation: int, now: datetime) -> None:
    """Retire a generation whose load failed. Harmless when it is not loading any more."""
    async with db.transaction() as session:
        failed = update(RegistryGeneration).where(
            RegistryGeneration.id == generation, RegistryGeneration.state == "loading"
        )
        await session.execute(failed.values(state="retired", touched_at=now))


async def active_source(db: Database) -> str | None:
    """Return the blind index of the file the active generation came from, or None when nothing is loaded."""
    async with db.reading() as session:
        source: str | None = await session.scalar(
            select(RegistryGeneration.source).where(RegistryGeneration.state == "active")
        )
        return source


async def sweep(db: Database, clock: Clock) -> int:
    """Delete the vehicles of retired generations and of those whose loader died; return how many.

    In small transactions, so that cases go on meanwhile; started again after a crash it carries on.
    """
    removed = 0
    for generation in await _swept(db, clock.now()):
        await give_up(db, generation, clock.now())
        removed += await _delete_vehicles(db, generation)
        async with db.transaction() as session:
            empty = update(RegistryGeneration).where(RegistryGeneration.id == generation)
            await session.execute(empty.values(state="removed"))
    return removed


async def _swept(db: Database, now: datetime) -> Sequence[int]:
    dead = and_(RegistryGeneration.state == "loading", RegistryGeneration.touched_at < now - SILENCE)
    async with db.reading() as session:
        found = await session.scalars(
            select(RegistryGeneration.id)
            .where(or_(RegistryGeneration.state == "retired", dead))
            .order_by(RegistryGeneration.id)
        )
        return found.all()


async def _delete_vehicles(db: Database, generation: int) -> int:
    place, removed, after = RegistryVehicle.plate_index, 0, b""
    while True:
        # From where the last batch ended: PostgreSQL would walk over everything already deleted again.
        rest = and_(RegistryVehicle.generation_id == generation, place > after)
        async with db.transaction() as session:
            last = await session.scalar(
                select(place).where(rest).order_by(place).offset(_DELETE_BATCH - 1).limit(1)
            )
            some = rest if last is None else and_(rest, place <= last)
            removed += rows_changed(await session.execute(delete(RegistryVehicle).where(some)))
        if last is None:
            return removed
        after = last
