"""Call scripts, their notices and their history: text that is approved, and history, is never edited."""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime

_ID = BigInteger().with_variant(Integer, "sqlite")


class CallScript(Base):
    """A wording and a caller ID, as filed with the command centre (B3).

    `version` is the number that attempts keep, and names the greeting's prompts. `effective_at` is set by the
    approval: the filed time, or the time of the approval when that was later.
    """

    __tablename__ = "outbound_call_scripts"
    __table_args__ = (
        CheckConstraint("state IN ('draft', 'approved', 'rejected', 'withdrawn')", name="state"),
        CheckConstraint(
            "state <> 'approved' OR (approved_by IS NOT NULL AND approved_by <> drafted_by"
            " AND effective_at IS NOT NULL)",
            name="two_persons",
        ),
        CheckConstraint("version BETWEEN 1 AND 9999", name="version"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, unique=True)
    state: Mapped[str] = mapped_column(String(10))
    caller_id: Mapped[str] = mapped_column(String(12))
    greeting: Mapped[str] = mapped_column(String(200))
    notice_number: Mapped[str] = mapped_column(String(80))
    notice_date: Mapped[date | None] = mapped_column(Date)
    effective_from: Mapped[datetime] = mapped_column(UtcDateTime)
    effective_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    drafted_by: Mapped[str] = mapped_column(String(60))
    drafted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    approved_by: Mapped[str | None] = mapped_column(String(60))
    approved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class NoticeFile(Base):
    """The scan of a script's notice. `content_sealed` opens for ``notice:<script id>`` as base64 (E3).

    `sha256` is of the file as it was sent in, `size` in bytes.
    """

    __tablename__ = "outbound_notice_files"

    script_id: Mapped[str] = mapped_column(ForeignKey(CallScript.id), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    media_type: Mapped[str] = mapped_column(String(20))
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    content_sealed: Mapped[str] = mapped_column(Text)


class ScriptHistory(Base):
    """Who did what to a script, and when. `detail` holds what was true then: texts, checksums, reasons."""

    __tablename__ = "outbound_call_script_history"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    script_id: Mapped[str] = mapped_column(ForeignKey(CallScript.id), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(20))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


_KEPT: Final = ("outbound_call_script_history", "outbound_notice_files")
"""Rows that are written once: neither changed nor deleted, by whatever statement."""
_FILED: Final = (
    *("id", "version", "caller_id", "greeting", "notice_number", "notice_date", "effective_from"),
    *("drafted_by", "drafted_at"),
)
"""Columns of a script that never change once it is drafted."""
_DECIDED: Final = ("state", "effective_at", "approved_by", "approved_at")
"""Columns that never change once the script has left `draft`."""


def guards(dialect: str) -> list[str]:
    """Return the statements that make the database itself refuse to rewrite what was filed (B3).

    `dialect` is `sqlite` or `postgresql`. The migration runs them, and so does whatever creates the tables
    from the models.
    """
    different = "IS NOT" if dialect == "sqlite" else "IS DISTINCT FROM"
    filed = " OR ".join(f"NEW.{name} {different} OLD.{name}" for name in _FILED)
    decided = " OR ".join(f"NEW.{name} {different} OLD.{name}" for name in _DECIDED)
    changed = f"{filed} OR (OLD.state <> 'draft' AND ({decided}))"
    refused = "what was filed is never edited"
    if dialect == "sqlite":
        return [
            *(
                f"CREATE TRIGGER {table}_{what.lower()} BEFORE {what} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{refused}'); END"
                for table in _KEPT
                for what in ("UPDATE", "DELETE")
            ),
            f"CREATE TRIGGER {CallScript.__tablename__}_update BEFORE UPDATE ON {CallScript.__tablename__} "
            f"WHEN {changed} BEGIN SELECT RAISE(ABORT, '{refused}'); END",
            f"CREATE TRIGGER {CallScript.__tablename__}_delete BEFORE DELETE ON {CallScript.__tablename__} "
            f"BEGIN SELECT RAISE(ABORT, '{refused}'); END",
        ]
    return [
        "CREATE FUNCTION outbound_never_edited() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refused}'; END $$",
        *(
            f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION outbound_never_edited()"
            for table in _KEPT
        ),
        f"CREATE TRIGGER {CallScript.__tablename__}_update BEFORE UPDATE ON {CallScript.__tablename__} "
        f"FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION outbound_never_edited()",
        f"CREATE TRIGGER {CallScript.__tablename__}_delete BEFORE DELETE OR TRUNCATE "
        f"ON {CallScript.__tablename__} FOR EACH STATEMENT EXECUTE FUNCTION outbound_never_edited()",
    ]


@event.listens_for(Base.metadata, "after_create")
def _create_guards(_: Any, connection: Any, *, tables: list[Table] | None = None, **__: Any) -> None:
    """Guard tables made from the models, as a migrated database's are."""
    if tables and any(table.name == CallScript.__tablename__ for table in tables):
        for statement in guards(connection.dialect.name):
            connection.exec_driver_sql(statement)
