"""calls: why they were withheld, over which trunk they went, to whose seat they were connected; incidents."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CALLED = "outcome IS NULL OR dialed_at IS NOT NULL"
_CALLED_OR_WITHHELD = "outcome IS NULL OR outcome = 'withheld' OR dialed_at IS NOT NULL"


def _new_rule(outcome_of_a_call: str) -> None:
    name = op.f("ck_outbound_attempts_outcome_of_a_call")
    with op.batch_alter_table("outbound_attempts") as table:
        table.drop_constraint(name, type_="check")
        table.create_check_constraint(name, outcome_of_a_call)


def upgrade() -> None:
    """Apply."""
    op.add_column("cases", sa.Column("seat", sa.String(length=40), server_default="", nullable=False))
    op.add_column("case_attempts", sa.Column("reason", sa.String(length=40), nullable=True))
    op.add_column("case_attempts", sa.Column("bridged_at", sa.DateTime(timezone=True), nullable=True))
    for name, length, default in (
        ("mode", 10, "notice"),
        ("vehicle", 32, ""),
        ("operator", 32, ""),
        ("seat", 40, ""),
    ):
        column = sa.Column(name, sa.String(length=length), server_default=default, nullable=False)
        op.add_column("outbound_contacts", column)
    op.add_column("outbound_attempts", sa.Column("sip_status", sa.Integer(), nullable=True))
    for name in ("reason", "node", "trunk"):
        op.add_column("outbound_attempts", sa.Column(name, sa.String(length=40), nullable=True))
    op.add_column("outbound_attempts", sa.Column("bridged_at", sa.DateTime(timezone=True), nullable=True))
    _new_rule(_CALLED_OR_WITHHELD)
    op.create_table(
        "outbound_incidents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=60), nullable=True),
        sa.Column("note", sa.String(length=1000), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_incidents")),
    )
    op.create_index("ix_outbound_incidents_opened", "outbound_incidents", ["opened_at", "id"], unique=False)
    op.create_index(
        "uq_outbound_incidents_open",
        "outbound_incidents",
        ["kind", "subject"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def downgrade() -> None:
    """Undo. What was withheld becomes an attempt that was never made, as this version knows it."""
    op.drop_table("outbound_incidents")
    op.execute("UPDATE outbound_attempts SET outcome = NULL WHERE outcome = 'withheld'")
    _new_rule(_CALLED)
    for name in ("bridged_at", "trunk", "node", "reason", "sip_status"):
        op.drop_column("outbound_attempts", name)
    for name in ("seat", "operator", "vehicle", "mode"):
        op.drop_column("outbound_contacts", name)
    op.drop_column("case_attempts", "bridged_at")
    op.drop_column("case_attempts", "reason")
    op.drop_column("cases", "seat")
