"""escalation: rows that two machines' journals know of."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ADDED: dict[str, list[sa.Column[object]]] = {
    "faults": [
        sa.Column("audiences", sa.String(length=80), nullable=False, server_default=""),
        sa.Column("planned_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flaps", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("machine", sa.String(length=20), nullable=False, server_default=""),
        # 0: of no one journal. What was merged before follows from what its journal says of it next.
        sa.Column("journal", sa.BigInteger(), nullable=False, server_default="0"),
    ],
    "fault_duties": [sa.Column("journal", sa.BigInteger(), nullable=False, server_default="0")],
    "fault_notices": [
        sa.Column(
            "next_try_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default="1970-01-01 00:00:00+00:00",
        ),
        sa.Column("machine", sa.String(length=20), nullable=False, server_default=""),
        sa.Column("copies", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("journal", sa.BigInteger(), nullable=False, server_default="0"),
    ],
}


def upgrade() -> None:
    """Apply."""
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.add_column(column)


def downgrade() -> None:
    """Undo."""
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
