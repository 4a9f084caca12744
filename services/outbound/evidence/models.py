"""Tables of evidence: what the switch wrote down, how far it was read, and what may be billed (B4, D3)."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_ID = BigInteger().with_variant(Integer, "sqlite")


class CallRecordSource(Base):
    """A switch whose call records are collected.

    `read_at`: everything that was in its files by then is in the database. `checked_seq`: how far the
    reconciler has looked at them. Its row is the lock under which they are written, so that a node's records
    become visible in the order of `seq`.
    """

    __tablename__ = "outbound_call_record_sources"

    node: Mapped[str] = mapped_column(String(40), primary_key=True)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checked_seq: Mapped[int] = mapped_column(BigInteger, default=0)


class CallRecordFile(Base):
    """How far one file of a switch was read; the file is known by device and inode, whatever its name.

    `offset` is behind the last whole line that was read, number `lines` of the file, which begins at
    `line_at` and has the digest `line_digest`: a file in which it is not there any more is another file.
    """

    __tablename__ = "outbound_call_record_files"

    node: Mapped[str] = mapped_column(String(40), primary_key=True)
    device: Mapped[str] = mapped_column(String(24), primary_key=True)
    inode: Mapped[str] = mapped_column(String(24), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[int] = mapped_column(BigInteger)
    line_at: Mapped[int] = mapped_column(BigInteger)
    line_digest: Mapped[str] = mapped_column(String(32))


class StoredCallRecord(Base):
    """What the switch wrote down about one channel, as `line.CallRecord`; never changed, never deleted.

    `id` is the digest of node and line: reading a line twice stores it once. `attempt_id` is the attempt
    that the channel belongs to or claims to, without any promise that there is one.
    """

    __tablename__ = "outbound_call_records"
    __table_args__ = (
        UniqueConstraint("id"),
        Index("ix_outbound_call_records_started", "started_at", "seq"),
        Index("ix_outbound_call_records_node", "node", "seq"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32))
    node: Mapped[str] = mapped_column(String(40))
    attempt_id: Mapped[str | None] = mapped_column(String(32), index=True)
    unique_id: Mapped[str] = mapped_column(String(64))
    linked_id: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(90))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    duration: Mapped[float] = mapped_column(Float)
    billed: Mapped[float] = mapped_column(Float)
    disposition: Mapped[str] = mapped_column(String(12))
    sequence: Mapped[int] = mapped_column(BigInteger)
    collected_at: Mapped[datetime] = mapped_column(UtcDateTime)


class BillableCall(Base):
    """A call whose attempt, call record and recording agree: what the settlement reads (D3).

    Written once and never changed. Times and `billed_seconds` are the switch's. `connected` is the decision
    of `billing.connection`, and `connection` its reason. `recording_sha256` is empty where nothing had to be
    recorded.
    """

    __tablename__ = "outbound_billable_calls"
    __table_args__ = (Index("ix_outbound_billable_calls_dialed", "dialed_at", "attempt_id"),)

    attempt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32))
    script_version: Mapped[int] = mapped_column(Integer)
    node: Mapped[str] = mapped_column(String(40))
    dialed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    billed_seconds: Mapped[float] = mapped_column(Float)
    connected: Mapped[bool] = mapped_column(Boolean)
    connection: Mapped[str] = mapped_column(String(20))
    recording_sha256: Mapped[str] = mapped_column(String(64))
    reconciled_at: Mapped[datetime] = mapped_column(UtcDateTime)
