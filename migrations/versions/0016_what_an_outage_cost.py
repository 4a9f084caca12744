"""movecar, escalation: what an outage cost is counted by time, in few rows or by an index (C4)."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_STUCK = sa.text("trigger IN ('lookup_failed', 'call_needs_person', 'deadline_passed')")
_UNKNOWN = sa.text("outcome = 'unknown'")


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_case_history_stuck", "case_history", ["at"], sqlite_where=_STUCK, postgresql_where=_STUCK
    )
    op.create_index("ix_escalations_escalated", "escalations", ["escalated_at"])
    op.create_index(
        "ix_desk_calls_unknown", "desk_calls", ["queued_at"], sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_desk_calls_unknown", table_name="desk_calls")
    op.drop_index("ix_escalations_escalated", table_name="escalations")
    op.drop_index("ix_case_history_stuck", table_name="case_history")
