"""The caller's tables: whom to reach, and every attempt to do so."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime
from services.common.events import CallMode

_QUEUED = text("state = 'queued'")
_UP = text("state IN ('dialing', 'ringing', 'answered')")
_ANSWERED = text("answered_at IS NOT NULL AND ended_at IS NOT NULL")
_OPEN = text("state <> 'ended'")
_DIALED: dict[str, Any] = {
    f"{dialect}_where": text("dialed_at IS NOT NULL") for dialect in ("sqlite", "postgresql")
}
_UNCHECKED = text("state = 'ended' AND dialed_at IS NOT NULL AND reconciled_at IS NULL")


class Contact(Base):
    """An owner to be reached for a case (B4: there is no other reason to call anyone).

    `plate_sealed` and each of `numbers_sealed` open for the context ``contact:<id>`` (E3); the numbers are
    those that may be called, in calling order, and `callees` are their blind indexes. `vehicle` is the blind
    index of the plate, `operator` the account and `seat` the username of the operator whose case it is.
    `outcome` is set once, when the contact is concluded.
    """

    __tablename__ = "outbound_contacts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)
    mode: Mapped[CallMode] = mapped_column(String(10), server_default="notice")
    vehicle: Mapped[str] = mapped_column(String(32), server_default="", index=True)
    operator: Mapped[str] = mapped_column(String(32), server_default="")
    seat: Mapped[str] = mapped_column(String(40), server_default="")
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
    and `callee` is that number's blind index. `claimed_by` is the instance that dialled, on Asterisk `node`
    over `trunk`, and `operator` then is the contact's; in the queue `node` and `trunk` say where it is to go.
    `moved`: it follows at once an attempt that rang no phone, over another trunk. `version` grows with every
    change. An attempt that is `ended` with no outcome was cancelled while queued, and one with `withheld` was
    kept back by the guard: nobody was rung. `reason` says why where the outcome alone does not. `sip_status`
    is the final status of the far end. `bridged_at`: when the owner was connected to a seat (B7).
    `reconciled_at`: when it was first compared with the switch's call records (B4). The outcome of an
    answered call is set as soon as the owner's key decides it, before the call ends.
    """

    __tablename__ = "outbound_attempts"
    __table_args__ = (
        UniqueConstraint("contact_id", "number"),
        CheckConstraint("state IN ('queued', 'dialing', 'ringing', 'answered', 'ended')", name="state"),
        CheckConstraint(
            "outcome IS NULL OR outcome = 'withheld' OR dialed_at IS NOT NULL", name="outcome_of_a_call"
        ),
        # An owner is never rung by two attempts at a time.
        Index(
            "uq_outbound_attempts_open", "contact_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
        ),
        Index("ix_outbound_attempts_queue", "due_at", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        # For what has to be there of every answered call: recordings, call records.
        Index(
            "ix_outbound_attempts_answered",
            "ended_at",
            sqlite_where=_ANSWERED,
            postgresql_where=_ANSWERED,
        ),
        Index("ix_outbound_attempts_up", "dialed_at", sqlite_where=_UP, postgresql_where=_UP),
        # What the guard counts in: calls to a number, of an operator, over a trunk, and all of them.
        Index("ix_outbound_attempts_callee_dialed", "callee", "dialed_at"),
        Index("ix_outbound_attempts_operator_dialed", "operator", "dialed_at", **_DIALED),
        Index("ix_outbound_attempts_trunk_dialed", "trunk", "dialed_at", **_DIALED),
        Index("ix_outbound_attempts_dialed", "dialed_at", **_DIALED),
        Index(
            "ix_outbound_attempts_unchecked", "ended_at", sqlite_where=_UNCHECKED, postgresql_where=_UNCHECKED
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    contact_id: Mapped[str] = mapped_column(ForeignKey(Contact.id))
    number: Mapped[int] = mapped_column(Integer)
    number_index: Mapped[int] = mapped_column(Integer)
    callee: Mapped[str] = mapped_column(String(32))
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
    sip_status: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str | None] = mapped_column(String(40))
    node: Mapped[str | None] = mapped_column(String(40))
    trunk: Mapped[str | None] = mapped_column(String(40))
    operator: Mapped[str] = mapped_column(String(32), server_default="")
    bridged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reconciled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    moved: Mapped[bool] = mapped_column(Boolean, server_default=false())


class Instance(Base):
    """A process that places calls. `beat` changes every few seconds while it can write; see `instances`.

    `run` is random at each start, so that two processes with one name find out. `stopped`: it said goodbye.
    """

    __tablename__ = "outbound_instances"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    run: Mapped[str] = mapped_column(String(32))
    beat: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped: Mapped[bool] = mapped_column(Boolean)


class DeclinedNumber(Base):
    """A number of an owner who asked not to be called by a machine; `callee` is its blind index (B4).

    One row for each wish and number: two people may have noted the same wish, and each is lifted by itself.
    `asked_by` is the username of who noted it. What was said about it stays with the case.
    """

    __tablename__ = "outbound_declined_numbers"

    callee: Mapped[str] = mapped_column(String(32), primary_key=True)
    wish_id: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)
    case_id: Mapped[str] = mapped_column(String(32))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(40))


class Incident(Base):
    """Something that a person has to look at: a call without a case, a recording that is missing (B4, B8).

    `kind` says what, `subject` what it is about (an attempt's id, a trunk's name); no personal data. One of
    each is open at a time. `detail` holds the figures. `closed_by` is a username, or `system` where it
    turned out well by itself.
    """

    __tablename__ = "outbound_incidents"
    __table_args__ = (
        Index(
            "uq_outbound_incidents_open",
            "kind",
            "subject",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
        Index("ix_outbound_incidents_opened", "opened_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_by: Mapped[str | None] = mapped_column(String(60))
    note: Mapped[str] = mapped_column(String(1000), server_default="")
