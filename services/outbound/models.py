"""The caller's tables: whom to reach, and every attempt to do so."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_QUEUED = text("state = 'queued'")
_UP = text("state IN ('dialing', 'ringing', 'answered')")
_OPEN = text("state <> 'ended'")


class Contact(Base):
    """An owner to be reached for a case (B4: there is no other reason to call anyone).

    `plate_sealed` and each of `numbers_sealed` open for the context ``contact:<id>`` (E3); the numbers are
    those that may be called, in calling order, and `callees` are their blind indexes. `outcome` is set once,
    when the contact is concluded.
    """

    __tablename__ = "outbound_contacts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    plate_sealed: Mapped[str] = mapped_column(Text)
    numbers_sealed: Mapped[list[str]] = mapped_column(JSON)
    callees: Mapped[list[str]] = mapped_column(JSON)
    outcome: Mapped[str | None] = mapped_column(String(20))
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    concluded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attempt(Base):
    """One try to ring one number, at most once (B5). Its id is the channel's id in Asterisk.

    `number` counts a contact's attempts from 1; `number_index` says which of the contact's numbers, from 0,
    and `callee` is that number's blind index. `claimed_by` is the instance that dialled. `version` grows
    with every change. An attempt that is `ended` with no outcome was cancelled while queued: nobody was rung.
    The outcome of an answered call is set as soon as the owner's key decides it, before the call ends.
    """

    __tablename__ = "outbound_attempts"
    __table_args__ = (
        UniqueConstraint("contact_id", "number"),
        CheckConstraint("state IN ('queued', 'dialing', 'ringing', 'answered', 'ended')", name="state"),
        CheckConstraint("outcome IS NULL OR dialed_at IS NOT NULL", name="outcome_of_a_call"),
        # An owner is never rung by two attempts at a time.
        Index(
            "uq_outbound_attempts_open", "contact_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
        ),
        Index("ix_outbound_attempts_queue", "due_at", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_outbound_attempts_up", "dialed_at", sqlite_where=_UP, postgresql_where=_UP),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    contact_id: Mapped[str] = mapped_column(ForeignKey(Contact.id))
    number: Mapped[int] = mapped_column(Integer)
    number_index: Mapped[int] = mapped_column(Integer)
    callee: Mapped[str] = mapped_column(String(32), index=True)
    state: Mapped[str] = mapped_column(String(10))
    outcome: Mapped[str | None] = mapped_column(String(20))
    version: Mapped[int] = mapped_column(Integer)
    script_version: Mapped[int] = mapped_column(Integer)
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str | None] = mapped_column(String(40))
    dialed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    greeting_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    greeting_ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    greetings_ended: Mapped[int] = mapped_column(Integer, default=0)
    prompt_failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    key: Mapped[str | None] = mapped_column(String(1))
    key_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hangup_cause: Mapped[int | None] = mapped_column(Integer)
