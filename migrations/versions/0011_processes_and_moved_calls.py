"""outbound: which processes live, and calls that were offered to another trunk."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "outbound_attempts", sa.Column("moved", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_table(
        "outbound_instances",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_outbound_instances")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("outbound_instances")
    op.drop_column("outbound_attempts", "moved")
