"""recordings: what became of each, their catalogue, and who listened to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ANSWERED = sa.text("answered_at IS NOT NULL AND ended_at IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("remote", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sqlite_autoincrement=True,
    )
    for name in ("account_id", "at", "subject"):
        op.create_index(op.f(f"ix_audit_log_{name}"), "audit_log", [name], unique=False)
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("callee", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=30), nullable=False),
        sa.Column("path", sa.String(length=60), nullable=False),
        sa.Column("fault", sa.String(length=40), nullable=True),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_recordings_attempt_id")),
    )
    for name in ("callee", "case_id", "operator_id"):
        op.create_index(op.f(f"ix_recordings_{name}"), "recordings", [name], unique=False)
    op.create_index("ix_recordings_started", "recordings", ["started_at", "id"], unique=False)
    op.create_table(
        "outbound_recordings",
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("fault", sa.String(length=40), nullable=True),
        sa.Column("path", sa.String(length=60), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("format", sa.String(length=30), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('kept', 'damaged', 'missing', 'none')", name=op.f("ck_outbound_recordings_state")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["outbound_attempts.id"],
            name=op.f("fk_outbound_recordings_attempt_id_outbound_attempts"),
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_outbound_recordings")),
    )
    op.create_index(
        "ix_outbound_attempts_answered",
        "outbound_attempts",
        ["ended_at"],
        unique=False,
        sqlite_where=_ANSWERED,
        postgresql_where=_ANSWERED,
    )


def downgrade() -> None:
    """Undo: sealed files stay where they are, and nothing knows of them any more."""
    op.drop_index("ix_outbound_attempts_answered", table_name="outbound_attempts")
    op.drop_table("outbound_recordings")
    op.drop_table("recordings")
    op.drop_table("audit_log")
