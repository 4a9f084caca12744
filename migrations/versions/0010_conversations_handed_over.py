"""conversations handed over: the attempt whose owner and operator a desk call joins."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("desk_calls", sa.Column("joins", sa.String(length=32), server_default="", nullable=False))


def downgrade() -> None:
    """Undo."""
    op.drop_column("desk_calls", "joins")
