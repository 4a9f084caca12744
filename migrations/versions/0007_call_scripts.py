"""call scripts under written notice: scripts, their notices, a history that nobody edits."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_REFUSED = "what was filed is never edited"
_KEPT = ("outbound_call_script_history", "outbound_notice_files")
_FILED = (
    *("id", "version", "caller_id", "greeting", "notice_number", "notice_date", "effective_from"),
    *("drafted_by", "drafted_at"),
)
_DECIDED = ("state", "effective_at", "approved_by", "approved_at")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "outbound_call_scripts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("caller_id", sa.String(length=12), nullable=False),
        sa.Column("greeting", sa.String(length=200), nullable=False),
        sa.Column("notice_number", sa.String(length=80), nullable=False),
        sa.Column("notice_date", sa.Date(), nullable=True),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drafted_by", sa.String(length=60), nullable=False),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.String(length=60), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('draft', 'approved', 'rejected', 'withdrawn')",
            name=op.f("ck_outbound_call_scripts_state"),
        ),
        sa.CheckConstraint(
            "state <> 'approved' OR (approved_by IS NOT NULL AND approved_by <> drafted_by"
            " AND effective_at IS NOT NULL)",
            name=op.f("ck_outbound_call_scripts_two_persons"),
        ),
        sa.CheckConstraint("version BETWEEN 1 AND 9999", name=op.f("ck_outbound_call_scripts_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_call_scripts")),
        sa.UniqueConstraint("version", name=op.f("uq_outbound_call_scripts_version")),
    )
    op.create_table(
        "outbound_notice_files",
        sa.Column("script_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("media_type", sa.String(length=20), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content_sealed", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["script_id"],
            ["outbound_call_scripts.id"],
            name=op.f("fk_outbound_notice_files_script_id_outbound_call_scripts"),
        ),
        sa.PrimaryKeyConstraint("script_id", name=op.f("pk_outbound_notice_files")),
    )
    op.create_table(
        "outbound_call_script_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("script_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["script_id"],
            ["outbound_call_scripts.id"],
            name=op.f("fk_outbound_call_script_history_script_id_outbound_call_scripts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_call_script_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_outbound_call_script_history_script_id"),
        "outbound_call_script_history",
        ["script_id"],
        unique=False,
    )
    _guard(op.get_bind().dialect.name)


def downgrade() -> None:
    """Undo: what was filed is gone; the calls keep their versions' numbers."""
    op.drop_table("outbound_call_script_history")
    op.drop_table("outbound_notice_files")
    op.drop_table("outbound_call_scripts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION outbound_never_edited()")


def _guard(dialect: str) -> None:
    """The database itself refuses to rewrite what was filed."""
    different = "IS NOT" if dialect == "sqlite" else "IS DISTINCT FROM"
    filed = " OR ".join(f"NEW.{name} {different} OLD.{name}" for name in _FILED)
    decided = " OR ".join(f"NEW.{name} {different} OLD.{name}" for name in _DECIDED)
    changed = f"{filed} OR (OLD.state <> 'draft' AND ({decided}))"
    scripts = "outbound_call_scripts"
    if dialect == "sqlite":
        raises = f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        for table in _KEPT:
            op.execute(f"CREATE TRIGGER {table}_update BEFORE UPDATE ON {table} {raises}")
            op.execute(f"CREATE TRIGGER {table}_delete BEFORE DELETE ON {table} {raises}")
        op.execute(f"CREATE TRIGGER {scripts}_update BEFORE UPDATE ON {scripts} WHEN {changed} {raises}")
        op.execute(f"CREATE TRIGGER {scripts}_delete BEFORE DELETE ON {scripts} {raises}")
        return
    op.execute(
        "CREATE FUNCTION outbound_never_edited() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$"
    )
    raises = "EXECUTE FUNCTION outbound_never_edited()"
    for table in _KEPT:
        what = "BEFORE UPDATE OR DELETE OR TRUNCATE"
        op.execute(f"CREATE TRIGGER {table}_kept {what} ON {table} FOR EACH STATEMENT {raises}")
    op.execute(
        f"CREATE TRIGGER {scripts}_update BEFORE UPDATE ON {scripts} FOR EACH ROW WHEN ({changed}) {raises}"
    )
    what = "BEFORE DELETE OR TRUNCATE"
    op.execute(f"CREATE TRIGGER {scripts}_delete {what} ON {scripts} FOR EACH STATEMENT {raises}")
