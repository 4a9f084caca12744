"""Tables of the escalation service. Personal data is in the `_sealed` columns only (E3)."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_SEQ = BigInteger().with_variant(Integer, "sqlite")
_UNDELIVERED = text("delivered_at IS NULL")
_DUE = text("next_step_at IS NOT NULL")
_OPEN = text("state <> 'ended'")
UNKNOWN = text("outcome = 'unknown'")
"""Calls to the desk's line whose end nobody saw."""


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

    `policy` is frozen when it is raised (see `chain.policy`). `waits_from` is when it began to wait for an
    acknowledgement, `steps_taken` how many steps of the chain were taken since then, and `next_step_at` when
    the next one is due; an open escalation always has one.
    """

    __tablename__ = "escalations"
    __table_args__ = (
        Index("ix_escalations_status_seq", "status", "seq"),
        Index("ix_escalations_next_step", "next_step_at", sqlite_where=_DUE, postgresql_where=_DUE),
        Index("ix_escalations_escalated", "escalated_at"),
    )

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
    priority: Mapped[str] = mapped_column(String(12), server_default="normal")
    policy: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    waits_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    steps_taken: Mapped[int] = mapped_column(Integer, server_default="0")
    next_step_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EscalationStep(Base):
    """One step of an escalation's chain that was taken, and when it was due; never changed (C3)."""

    __tablename__ = "escalation_steps"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_SEQ, primary_key=True, autoincrement=True)
    escalation_id: Mapped[str] = mapped_column(String(64), index=True)
    step: Mapped[str] = mapped_column(String(16))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeskCall(Base):
    """A call to the desk's line about an escalation, and the proof of what came of it (C3).

    `id` is the channel's id in Asterisk. `say_sealed` holds what is spoken, as prompt tokens, sealed for
    `desk_call:{id}`: a plate is among them. `outcome` is set when it ended; `key` is what the desk pressed.
    `joins` is the attempt whose conversation the desk is called to join; empty for a notice. A call whose end
    was not seen is `unknown`, and the chain calls again: a second call beats silence.
    """

    __tablename__ = "desk_calls"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'dialing', 'ended')", name="state"),
        Index("ix_desk_calls_open", "queued_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_desk_calls_unknown", "queued_at", sqlite_where=UNKNOWN, postgresql_where=UNKNOWN),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    escalation_id: Mapped[str] = mapped_column(String(64), index=True)
    rank: Mapped[int] = mapped_column(Integer)
    joins: Mapped[str] = mapped_column(String(32), server_default="")
    say_sealed: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    outcome: Mapped[str | None] = mapped_column(String(20))
    claimed_by: Mapped[str | None] = mapped_column(String(40))
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    dialed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    key: Mapped[str | None] = mapped_column(String(1))
    key_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FeedReader(Base):
    """How far a reader at the desk has come: a cursor kept for it, by a name of its choice (C2)."""

    __tablename__ = "feed_readers"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PushDelivery(Base):
    """One feed item on its way to the desk's own system, and afterwards the proof that it got there.

    `tries` counts the times it was taken to be sent and is its version: whoever raises it holds the item
    until `next_try_at`. `claimed_by` is the instance that holds it now. After a replay `first_delivered_at`
    keeps when it was taken for the first time.
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
    first_delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replays: Mapped[int] = mapped_column(Integer, server_default="0")
