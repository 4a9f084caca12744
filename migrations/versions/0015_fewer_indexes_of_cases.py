"""movecar: cases have only the indexes that somebody reads; each is paid for by every change of a case."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ESCALATED = sa.text("escalation_id IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.drop_index("ix_cases_contact_id", table_name="cases")
    op.drop_index("ix_cases_escalation_id", table_name="cases")
    op.create_index(
        "ix_cases_escalation_id",
        "cases",
        ["escalation_id"],
        sqlite_where=_ESCALATED,
        postgresql_where=_ESCALATED,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_cases_escalation_id", table_name="cases")
    op.create_index("ix_cases_escalation_id", "cases", ["escalation_id"])
    op.create_index("ix_cases_contact_id", "cases", ["contact_id"])
