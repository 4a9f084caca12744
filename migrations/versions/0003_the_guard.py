"""the guard: indexes that calls are counted in, and owners who declined to be called by a machine."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Calls made before count towards no operator's limit: their windows are over in a day."""
    op.add_column(
        "outbound_attempts", sa.Column("operator", sa.String(32), server_default="", nullable=False)
    )
    op.create_index("ix_outbound_contacts_vehicle", "outbound_contacts", ["vehicle"])
    op.drop_index("ix_outbound_attempts_callee", table_name="outbound_attempts")
    op.create_index("ix_outbound_attempts_callee_dialed", "outbound_attempts", ["callee", "dialed_at"])
    dialed = sa.text("dialed_at IS NOT NULL")
    for name, columns in (
        ("operator_dialed", ["operator", "dialed_at"]),
        ("trunk_dialed", ["trunk", "dialed_at"]),
        ("dialed", ["dialed_at"]),
    ):
        op.create_index(
            f"ix_outbound_attempts_{name}",
            "outbound_attempts",
            columns,
            sqlite_where=dialed,
            postgresql_where=dialed,
        )
    op.create_table(
        "outbound_declined_numbers",
        sa.Column("callee", sa.String(length=32), nullable=False),
        sa.Column("wish_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("callee", "wish_id", name=op.f("pk_outbound_declined_numbers")),
    )
    op.create_index(
        op.f("ix_outbound_declined_numbers_wish_id"), "outbound_declined_numbers", ["wish_id"], unique=False
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("outbound_declined_numbers")
    for name in ("dialed", "trunk_dialed", "operator_dialed", "callee_dialed"):
        op.drop_index(f"ix_outbound_attempts_{name}", table_name="outbound_attempts")
    op.create_index("ix_outbound_attempts_callee", "outbound_attempts", ["callee"])
    op.drop_index("ix_outbound_contacts_vehicle", table_name="outbound_contacts")
    op.drop_column("outbound_attempts", "operator")
