"""kernel: one event may tell of many things that changed together; each has a number of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("outbox", sa.Column("places", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("outbox") as outbox:
        outbox.drop_column("places")
