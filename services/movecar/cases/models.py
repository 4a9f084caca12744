"""Tables of cases. Plates, phones and names are sealed; equal ones meet by blind index (E3)."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime
from services.common.events import AttemptOutcome, AttemptState, CallMode, EscalationReason
from services.movecar.cases.machine import AttentionReason, EscalationStatus, Outcome, Status

_ID = BigInteger().with_variant(Integer, "sqlite")
STUCK = text("trigger IN ('lookup_failed', 'call_needs_person', 'deadline_passed')")
"""What did not go on by itself: the few rows of the history that are looked for by time."""


class Case(Base):
    """One blocked way and what was done about it.

    `open_key` is the blind index of plate and colour while the case is open and NULL afterwards: its unique
    constraint is what keeps two operators from opening two cases for one car at the same moment (A6).
    """

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_status_created", "status", "created_at"),
        Index(
            "ix_cases_deadline",
            "deadline_at",
            sqlite_where=text("deadline_at IS NOT NULL"),
            postgresql_where=text("deadline_at IS NOT NULL"),
        ),
        Index("ix_cases_created", "created_at", "id"),
        Index(
            "ix_cases_escalation_id",
            "escalation_id",
            sqlite_where=text("escalation_id IS NOT NULL"),
            postgresql_where=text("escalation_id IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[str] = mapped_column(String(20), unique=True)
    status: Mapped[Status] = mapped_column(String(16))
    outcome: Mapped[Outcome | None] = mapped_column(String(20))
    version: Mapped[int] = mapped_column(Integer)
    open_key: Mapped[str | None] = mapped_column(String(32), unique=True)
    plate_sealed: Mapped[str] = mapped_column(String(200))
    plate_index: Mapped[str] = mapped_column(String(32), index=True)
    plate_color: Mapped[str | None] = mapped_column(String(16))
    location: Mapped[str] = mapped_column(String(200))
    situation: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(String(1000))
    mode: Mapped[CallMode] = mapped_column(String(10))
    requester_sealed: Mapped[str] = mapped_column(String(200))
    requester_index: Mapped[str] = mapped_column(String(32), index=True)
    owner_name_masked: Mapped[str | None] = mapped_column(String(100))
    owner_phone_masked: Mapped[str | None] = mapped_column(String(40))
    numbers_sealed: Mapped[list[str]] = mapped_column(JSON)
    contact_id: Mapped[str | None] = mapped_column(String(32))
    contacts: Mapped[int] = mapped_column(Integer)
    attention_reason: Mapped[AttentionReason | None] = mapped_column(String(40))
    escalation_id: Mapped[str | None] = mapped_column(String(32))
    escalation_reason: Mapped[EscalationReason | None] = mapped_column(String(30))
    escalation_status: Mapped[EscalationStatus | None] = mapped_column(String(16))
    escalation_seq: Mapped[int | None] = mapped_column(BigInteger)
    operator_id: Mapped[str] = mapped_column(String(32))
    operator: Mapped[str] = mapped_column(String(60))
    seat: Mapped[str] = mapped_column(String(40), server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lookup_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CaseHistory(Base):
    """One transition, or another fact about a case that changed no status. Never edited."""

    __tablename__ = "case_history"
    __table_args__ = (
        Index("ix_case_history_stuck", "at", sqlite_where=STUCK, postgresql_where=STUCK),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(80))
    trigger: Mapped[str] = mapped_column(String(40))
    from_status: Mapped[str | None] = mapped_column(String(16))
    to_status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(60))
    note: Mapped[str] = mapped_column(String(1000))


class CaseJoin(Base):
    """A further request for a car whose case was open (A6)."""

    __tablename__ = "case_joins"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    operator: Mapped[str] = mapped_column(String(60))
    location: Mapped[str] = mapped_column(String(200))
    situation: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(String(1000))
    requester_sealed: Mapped[str] = mapped_column(String(200))
    requester_index: Mapped[str] = mapped_column(String(32), index=True)


class CaseAttempt(Base):
    """A call as the outbound service last reported it; the fields mean what they do in `AttemptChanged`."""

    __tablename__ = "case_attempts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    contact_id: Mapped[str] = mapped_column(String(32))
    version: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[AttemptState] = mapped_column(String(12))
    outcome: Mapped[AttemptOutcome | None] = mapped_column(String(20))
    script_version: Mapped[int] = mapped_column(Integer)
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    dialed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(String(40))
    bridged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    greeting_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    greeting_ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pressed: Mapped[str | None] = mapped_column(String(1))
    pressed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class OwnerWish(Base):
    """An owner asked not to be called by a machine (B4). Never deleted: lifting it is noted beside it.

    The notes are sealed for `wish:<id>`. `asked_by` and `lifted_by` are real names.
    """

    __tablename__ = "owner_wishes"
    __table_args__ = (Index("ix_owner_wishes_asked", "asked_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(60))
    note_sealed: Mapped[str] = mapped_column(Text)
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str | None] = mapped_column(String(60))
    lift_note_sealed: Mapped[str | None] = mapped_column(Text)


class OwnerWishNumber(Base):
    """The blind index of a number that a wish covers."""

    __tablename__ = "owner_wish_numbers"

    wish_id: Mapped[str] = mapped_column(ForeignKey(OwnerWish.id), primary_key=True)
    number: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)


class CaseNumber(Base):
    """The last case number given out on a local day."""

    __tablename__ = "case_numbers"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    last: Mapped[int] = mapped_column(Integer)


class Lookup(Base):
    """One question to the vehicle registry: which case it was for, who asked, what came back (A3)."""

    __tablename__ = "lookups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    plate_index: Mapped[str] = mapped_column(String(32), index=True)
    operator_id: Mapped[str] = mapped_column(String(32))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    result: Mapped[str] = mapped_column(String(40))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSON)
