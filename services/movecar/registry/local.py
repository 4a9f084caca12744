"""The registry kept in our own database, loaded from CSV; it stands in for the provincial platform (A2)."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import structlog
from sqlalchemy import Table, and_, select
from sqlalchemy.exc import SQLAlchemyError

from services.common.crypto import Keys, SealBroken
from services.common.database import Database
from services.common.membership import among
from services.movecar.plates import Color, Plate
from services.movecar.registry.answers import Answer, Outage, Unavailable, Vehicle, decide
from services.movecar.registry.models import RegistryGeneration, RegistryVehicle
from services.movecar.registry.sealing import open_vehicle, plate_index

log = structlog.get_logger(__name__)

_GENERATIONS = cast(Table, RegistryGeneration.__table__)
_VEHICLES = cast(Table, RegistryVehicle.__table__)
# One statement: with two, the generation could be replaced and deleted between them.
_FIND = (
    select(_VEHICLES.c.plate_index, _VEHICLES.c.color, _VEHICLES.c.sealed)
    .select_from(_GENERATIONS)
    .outerjoin(
        _VEHICLES,
        and_(
            _VEHICLES.c.generation_id == _GENERATIONS.c.id,
            among(_VEHICLES.c.plate_index, "plates"),
        ),
    )
    .where(_GENERATIONS.c.state == "active")
    .order_by(_VEHICLES.c.color)
)
_Sealed = tuple[str, str]
_ByPlate = Mapping[bytes, Sequence[_Sealed]]


class _NotLoaded(Exception):
    """There is no active generation."""


class LocalRegistry:
    """Looks vehicles up in the active generation."""

    def __init__(self, db: Database, keys: Keys) -> None:
        self._db = db
        self._keys = keys
        self._asked: set[bytes] = set()
        self._next: asyncio.Task[_ByPlate] | None = None
        self._reading: set[asyncio.Task[_ByPlate]] = set()

    async def lookup(self, plate: Plate, color: Color | None, case_id: str) -> Answer:
        """Look a plate up. Unavailable when nothing is loaded, storage fails or a row does not open."""
        index = plate_index(self._keys, plate)
        try:
            found = await self._find(index)
            return decide([self._open(index, *vehicle) for vehicle in found], color)
        except _NotLoaded:
            return Unavailable(Outage.NOT_LOADED)
        except (SQLAlchemyError, OSError) as error:
            log.warning("registry_storage_failed", case_id=case_id, error=type(error).__name__)
            return Unavailable(Outage.STORAGE)
        except SealBroken:
            log.exception("registry_row_does_not_open", case_id=case_id)
            return Unavailable(Outage.SEAL)

    async def close(self) -> None:
        """Let go of what is being read."""
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    def _open(self, index: bytes, color: str, sealed: str) -> Vehicle:
        return open_vehicle(self._keys, index, Color(color), sealed)

    async def _find(self, index: bytes) -> Sequence[_Sealed]:
        self._asked.add(index)
        if self._next is None:
            self._next = asyncio.create_task(self._read())
            self._reading.add(self._next)
            self._next.add_done_callback(self._reading.discard)
        # Shielded: one lookup that is given up must not take the others with it.
        return (await asyncio.shield(self._next)).get(index, ())

    async def _read(self) -> _ByPlate:
        """Answer, by one statement, for all plates that are asked for in the same moment."""
        await asyncio.sleep(0)
        asked, self._asked, self._next = self._asked, set(), None
        vehicles: dict[bytes, list[_Sealed]] = defaultdict(list)
        async with self._db.reading() as session:
            rows = (await session.execute(_FIND, {"plates": sorted(asked)})).all()
        if not rows:
            raise _NotLoaded
        for index, color, sealed in rows:
            if index is not None:
                vehicles[index].append((color, sealed))
        return vehicles
