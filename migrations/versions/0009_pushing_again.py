"""pushing again: when an item was first taken stays on record."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "push_deliveries", sa.Column("first_delivered_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("push_deliveries", sa.Column("replays", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Undo."""
    op.drop_column("push_deliveries", "replays")
    op.drop_column("push_deliveries", "first_delivered_at")
