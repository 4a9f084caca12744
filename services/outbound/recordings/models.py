"""What became of the recording of every answered call."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime
from services.outbound.models import Attempt


class AttemptRecording(Base):
    """The recording of one attempt: a row says that its fate is known.

    `kept`: stored, sealed and verified; `damaged`: the same, but `fault` says what is wrong with the sound;
    `missing`: there should be one and there is none (it may still turn up); `none`: nothing was said that
    could have been recorded. `path` is below the directory of recordings; size and SHA-256 are those of the
    plain file.
    """

    __tablename__ = "outbound_recordings"
    __table_args__ = (CheckConstraint("state IN ('kept', 'damaged', 'missing', 'none')", name="state"),)

    attempt_id: Mapped[str] = mapped_column(ForeignKey(Attempt.id), primary_key=True)
    id: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(10))
    fault: Mapped[str | None] = mapped_column(String(40))
    path: Mapped[str | None] = mapped_column(String(60))
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    format: Mapped[str | None] = mapped_column(String(30))
    seconds: Mapped[float | None] = mapped_column(Float)
    settled_at: Mapped[datetime] = mapped_column(UtcDateTime)
