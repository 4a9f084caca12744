"""Tables of the main database that hold what was merged from the journals, for reports (C4, D4).

The journals are the record; these rows follow them. `journal` is the file that a row came from and `revision`
that file's at the last change; a row that more than one file knows of is of none, 0.
"""

from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime


class FaultRow(Base):
    """A fault, as `records.Fault`."""

    __tablename__ = "faults"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    component: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    detected_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recovered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    source: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    opened_by: Mapped[str] = mapped_column(String(64))
    downtime: Mapped[bool]
    planned: Mapped[bool]
    drill: Mapped[bool]
    lost: Mapped[str] = mapped_column(Text)
    audiences: Mapped[str] = mapped_column(String(80))
    planned_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    flaps: Mapped[int]
    machine: Mapped[str] = mapped_column(String(20))
    revision: Mapped[int] = mapped_column(BigInteger)
    journal: Mapped[int] = mapped_column(BigInteger)


class FaultDuty(Base):
    """A notice that was owed, as `records.Duty`; `subject` is the fault's id."""

    __tablename__ = "fault_duties"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    audience: Mapped[str] = mapped_column(String(20))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(20))
    kept_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    kept_by: Mapped[str] = mapped_column(String(40))
    revision: Mapped[int] = mapped_column(BigInteger)
    journal: Mapped[int] = mapped_column(BigInteger)


class FaultNotice(Base):
    """A notice on one channel with its proof, as `records.Delivery`; `duty` is what it fulfils."""

    __tablename__ = "fault_notices"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    duty: Mapped[str] = mapped_column(String(120), index=True)
    channel: Mapped[str] = mapped_column(String(40))
    tries: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(Text)
    proof: Mapped[str] = mapped_column(Text)
    error: Mapped[str] = mapped_column(Text)
    next_try_at: Mapped[datetime] = mapped_column(UtcDateTime)
    machine: Mapped[str] = mapped_column(String(20))
    copies: Mapped[int]
    revision: Mapped[int] = mapped_column(BigInteger)
    journal: Mapped[int] = mapped_column(BigInteger)
