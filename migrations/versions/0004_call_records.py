"""evidence: the switch's own call records, how far they were read, and the calls that may be billed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNCHECKED = sa.text("state = 'ended' AND dialed_at IS NOT NULL AND reconciled_at IS NULL")


def upgrade() -> None:
    """Apply. Calls that ended before have no call record here; they are not looked for."""
    op.create_table(
        "outbound_billable_calls",
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("script_version", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("dialed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("billed_seconds", sa.Float(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("connection", sa.String(length=20), nullable=False),
        sa.Column("recording_sha256", sa.String(length=64), nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_outbound_billable_calls")),
    )
    op.create_index(
        "ix_outbound_billable_calls_dialed",
        "outbound_billable_calls",
        ["dialed_at", "attempt_id"],
        unique=False,
    )
    op.create_table(
        "outbound_call_record_files",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("inode", sa.String(length=24), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("line_at", sa.BigInteger(), nullable=False),
        sa.Column("line_digest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("node", "device", "inode", name=op.f("pk_outbound_call_record_files")),
    )
    op.create_table(
        "outbound_call_record_sources",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_outbound_call_record_sources")),
    )
    op.create_table(
        "outbound_call_records",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=True),
        sa.Column("unique_id", sa.String(length=64), nullable=False),
        sa.Column("linked_id", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=90), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("billed", sa.Float(), nullable=False),
        sa.Column("disposition", sa.String(length=12), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbound_call_records")),
        sa.UniqueConstraint("id", name=op.f("uq_outbound_call_records_id")),
        sqlite_autoincrement=True,
    )
    for name, columns in (
        ("ix_outbound_call_records_attempt_id", ["attempt_id"]),
        ("ix_outbound_call_records_node", ["node", "seq"]),
        ("ix_outbound_call_records_started", ["started_at", "seq"]),
    ):
        op.create_index(name, "outbound_call_records", columns, unique=False)
    op.add_column("outbound_attempts", sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE outbound_attempts SET reconciled_at = ended_at WHERE state = 'ended'")
    op.create_index(
        "ix_outbound_attempts_unchecked",
        "outbound_attempts",
        ["ended_at"],
        unique=False,
        sqlite_where=_UNCHECKED,
        postgresql_where=_UNCHECKED,
    )


def downgrade() -> None:
    """Undo. The call records that were collected are lost; the switch's files still have them."""
    op.drop_index("ix_outbound_attempts_unchecked", table_name="outbound_attempts")
    op.drop_column("outbound_attempts", "reconciled_at")
    op.drop_table("outbound_call_records")
    op.drop_table("outbound_call_record_sources")
    op.drop_table("outbound_call_record_files")
    op.drop_table("outbound_billable_calls")
