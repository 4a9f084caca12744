"""The catalogue of recordings."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime


class Recording(Base):
    """One recorded call, as the caller reported it when it was stored (B8). Nothing deletes it.

    `callee` is the blind index of the number that was called, `operator_id` the account whose case it is.
    `path` is below the directory of recordings; `size` and `sha256` are those of the plain file. `fault` says
    what is wrong with the sound, where something is.
    """

    __tablename__ = "recordings"
    __table_args__ = (Index("ix_recordings_started", "started_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempt_id: Mapped[str] = mapped_column(String(32), unique=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    operator_id: Mapped[str] = mapped_column(String(32), index=True)
    callee: Mapped[str] = mapped_column(String(32), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seconds: Mapped[float] = mapped_column(Float)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(30))
    path: Mapped[str] = mapped_column(String(60))
    fault: Mapped[str | None] = mapped_column(String(40))
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime)
