"""The kernel's tables: the event log and who has handled what, dead letters, kept answers."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_ID = BigInteger().with_variant(Integer, "sqlite")


class OutboxEntry(Base):
    """One emitted event, written in the transaction of the change it reports.

    `position` is given by the relay, in commit order and without gaps; until then the event is unpublished.
    An event that takes several `places` has the last of its numbers here.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_unpublished",
            "id",
            sqlite_where=text("position IS NULL"),
            postgresql_where=text("position IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(32), unique=True)
    type: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    emitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    places: Mapped[int] = mapped_column(Integer, server_default="1")
    position: Mapped[int | None] = mapped_column(BigInteger, unique=True)


class LogPosition(Base):
    """The last position given out; its row is the relays' lock."""

    __tablename__ = "log_position"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)


class ConsumerCursor(Base):
    """How far a consumer of the in-process bus has read the log."""

    __tablename__ = "consumer_cursors"

    consumer: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


class HandledEvent(Base):
    """A consumer has handled an event, in the same transaction as the handler's own changes."""

    __tablename__ = "handled_events"

    consumer: Mapped[str] = mapped_column(String(40), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    handled_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class DeadLetter(Base):
    """An event a consumer could not handle; operations see it and ask for a replay."""

    __tablename__ = "dead_letters"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    consumer: Mapped[str] = mapped_column(String(40))
    event_id: Mapped[str] = mapped_column(String(32))
    type: Mapped[str] = mapped_column(String(60))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    error: Mapped[str] = mapped_column(Text)
    failed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    replay_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replayed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class KeptAnswer(Base):
    """The answer given to a request with an `Idempotency-Key`; a repeat gets the same one."""

    __tablename__ = "kept_answers"

    principal: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class EndedSession(Base):
    """A session ended before its token expired, as this service heard of it."""

    __tablename__ = "ended_sessions"

    service: Mapped[str] = mapped_column(String(20), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
