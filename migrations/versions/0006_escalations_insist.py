"""escalations insist: priority, frozen policy, steps, calls to the desk's line; readers of the feed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Apply. Open escalations get their policy from the auditor of the new version."""
    op.add_column(
        "escalations", sa.Column("priority", sa.String(length=12), server_default="normal", nullable=False)
    )
    op.add_column("escalations", sa.Column("policy", sa.JSON(), nullable=True))
    op.add_column("escalations", _moment("waits_from"))
    op.add_column("escalations", sa.Column("steps_taken", sa.Integer(), server_default="0", nullable=False))
    op.add_column("escalations", _moment("next_step_at"))
    op.create_index(
        "ix_escalations_next_step",
        "escalations",
        ["next_step_at"],
        unique=False,
        sqlite_where=sa.text("next_step_at IS NOT NULL"),
        postgresql_where=sa.text("next_step_at IS NOT NULL"),
    )
    op.create_table(
        "escalation_steps",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("escalation_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        _moment("due_at", nullable=False),
        _moment("taken_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation_steps")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_escalation_steps_escalation_id"), "escalation_steps", ["escalation_id"], unique=False
    )
    op.create_table(
        "desk_calls",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("escalation_id", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("say_sealed", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("claimed_by", sa.String(length=40), nullable=True),
        _moment("queued_at", nullable=False),
        _moment("dialed_at"),
        _moment("answered_at"),
        sa.Column("key", sa.String(length=1), nullable=True),
        _moment("key_at"),
        _moment("ended_at"),
        sa.CheckConstraint("state IN ('queued', 'dialing', 'ended')", name=op.f("ck_desk_calls_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_calls")),
    )
    op.create_index(op.f("ix_desk_calls_escalation_id"), "desk_calls", ["escalation_id"], unique=False)
    op.create_index(
        "ix_desk_calls_open",
        "desk_calls",
        ["queued_at"],
        unique=False,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_table(
        "feed_readers",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        _moment("seen_at", nullable=False),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("pk_feed_readers")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("feed_readers")
    op.drop_table("desk_calls")
    op.drop_table("escalation_steps")
    op.drop_index(
        "ix_escalations_next_step",
        table_name="escalations",
        sqlite_where=sa.text("next_step_at IS NOT NULL"),
        postgresql_where=sa.text("next_step_at IS NOT NULL"),
    )
    for name in ("next_step_at", "steps_taken", "waits_from", "policy", "priority"):
        op.drop_column("escalations", name)
