"""Tables of the escalation service. Personal data is in the `_sealed` columns only (E3)."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_SEQ = BigInteger().with_variant(Integer, "sqlite")
_UNDELIVERED = text("delivered_at IS NULL")


class FeedCounter(Base):
    """The last sequence number given out; its row is the feed's write lock."""

    __tablename__ = "feed_counter"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)


class FeedItem(Base):
    """One item of the desk's feed; never changed once written (C2).

    `subject` is what the item is about (an escalation's id): items of one subject are pushed in order.
    `data_sealed` is the item's `data` as JSON, sealed for `feed:{item_id}`.
    """

    __tablename__ = "feed_items"

    seq: Mapped[int] = mapped_column(_SEQ, primary_key=True, autoincrement=False)
    item_id: Mapped[str] = mapped_column(String(32), unique=True)
    type: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(64))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_sealed: Mapped[str] = mapped_column(Text)


class Escalation(Base):
    """A case the 110 desk must act on. Its history is its feed items: one for every change.

    `details_sealed` is sealed for `escalation:{id}`, `officer_sealed` for `escalation:{id}:officer`,
    `disposition_note_sealed` for `escalation:{id}:disposition_note`. `seq` is that of its raised item.
    """

    __tablename__ = "escalations"
    __table_args__ = (Index("ix_escalations_status_seq", "status", "seq"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    reason: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(20))
    details_sealed: Mapped[str] = mapped_column(Text)
    seq: Mapped[int] = mapped_column(BigInteger, unique=True)
    escalated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    raised_at: Mapped[datetime] = mapped_column(UtcDateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    officer_sealed: Mapped[str | None] = mapped_column(Text)
    disposed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disposed_by: Mapped[str | None] = mapped_column(String(64))
    disposition_code: Mapped[str | None] = mapped_column(String(40))
    disposition_note_sealed: Mapped[str | None] = mapped_column(Text)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PushDelivery(Base):
    """One feed item on its way to the desk's own system, and afterwards the proof that it got there.

    `tries` counts the times it was taken to be sent and is its version: whoever raises it holds the item
    until `next_try_at`. `claimed_by` is the instance that holds it now.
    """

    __tablename__ = "push_deliveries"
    __table_args__ = (
        Index(
            "ix_push_deliveries_undelivered",
            "subject",
            "seq",
            sqlite_where=_UNDELIVERED,
            postgresql_where=_UNDELIVERED,
        ),
    )

    seq: Mapped[int] = mapped_column(
        _SEQ, ForeignKey("feed_items.seq"), primary_key=True, autoincrement=False
    )
    subject: Mapped[str] = mapped_column(String(64))
    tries: Mapped[int] = mapped_column(Integer)
    next_try_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str | None] = mapped_column(String(40))
    last_error: Mapped[str | None] = mapped_column(String(200))
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[int | None] = mapped_column(Integer)
