"""The registry kept in our own database, loaded from CSV; it stands in for the provincial platform (A2)."""

import structlog
from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError

from services.common.crypto import Keys, SealBroken
from services.common.database import Database
from services.movecar.plates import Color, Plate
from services.movecar.registry.answers import Answer, Outage, Unavailable, decide
from services.movecar.registry.models import RegistryGeneration, RegistryVehicle
from services.movecar.registry.sealing import open_vehicle, plate_index

log = structlog.get_logger(__name__)


class LocalRegistry:
    """Looks vehicles up in the active generation."""

    def __init__(self, db: Database, keys: Keys) -> None:
        self._db = db
        self._keys = keys

    async def lookup(self, plate: Plate, color: Color | None, case_id: str) -> Answer:
        """Look a plate up. Unavailable when nothing is loaded, storage fails or a row does not open."""
        index = plate_index(self._keys, plate)
        # One statement: with two, the generation could be replaced and deleted between them.
        mine = and_(
            RegistryVehicle.generation_id == RegistryGeneration.id, RegistryVehicle.plate_index == index
        )
        statement = (
            select(RegistryVehicle.color, RegistryVehicle.sealed)
            .select_from(RegistryGeneration)
            .outerjoin(RegistryVehicle, mine)
            .where(RegistryGeneration.state == "active")
            .order_by(RegistryVehicle.color)
        )
        try:
            async with self._db.reading() as session:
                rows = (await session.execute(statement)).all()
        except (SQLAlchemyError, OSError) as error:
            log.warning("registry_storage_failed", case_id=case_id, error=type(error).__name__)
            return Unavailable(Outage.STORAGE)
        if not rows:
            return Unavailable(Outage.NOT_LOADED)
        try:
            vehicles = [
                open_vehicle(self._keys, index, Color(name), sealed)
                for name, sealed in rows
                if name is not None
            ]
        except SealBroken:
            log.exception("registry_row_does_not_open", case_id=case_id)
            return Unavailable(Outage.SEAL)
        return decide(vehicles, color)
