"""movecar: when the greeting of a call was heard, and the key that decided it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_MOMENTS = ("greeting_started_at", "greeting_ended_at", "pressed_at")


def upgrade() -> None:
    """Apply."""
    for name in _MOMENTS:
        op.add_column("case_attempts", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("case_attempts", sa.Column("pressed", sa.String(length=1), nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in ("pressed", *reversed(_MOMENTS)):
        op.drop_column("case_attempts", name)
