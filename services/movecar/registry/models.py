"""Tables of the local registry: generations of loaded data, one of them active, and their vehicles."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_ACTIVE = "state = 'active'"


class RegistryGeneration(Base):
    """One load of the whole registry. Rows stay as the record of what was loaded when."""

    __tablename__ = "registry_generations"
    __table_args__ = (
        # Two active generations would be two truths about every car.
        Index(
            "uq_registry_generations_active",
            "state",
            unique=True,
            sqlite_where=text(_ACTIVE),
            postgresql_where=text(_ACTIVE),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    state: Mapped[str] = mapped_column(String(12))
    """loading, active, retired (replaced or given up) or removed (its vehicles are deleted)."""
    source: Mapped[str] = mapped_column(String(32))
    """Blind index of the file's digest: the same for the same file under the same keys."""
    vehicles: Mapped[int] = mapped_column(Integer, default=0)
    rejected: Mapped[int] = mapped_column(Integer, default=0)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    touched_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Last sign of life of its loader."""
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RegistryVehicle(Base):
    """One vehicle, sealed (E3): only its colour and where it stood in the file can be read without the key.

    No foreign key: a million checks a load, and only `generations` writes here.
    """

    __tablename__ = "registry_vehicles"

    generation_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    plate_index: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    """Blind index of the plate."""
    color: Mapped[str] = mapped_column(String(12), primary_key=True)
    line: Mapped[int] = mapped_column(BigInteger)
    """Line of the file it came from, counted from 1."""
    sealed: Mapped[str] = mapped_column(Text)
    """JSON of plate, owner and phones, sealed for this plate index and colour."""
