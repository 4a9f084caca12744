"""owners who asked not to be called by a machine, with who noted and who lifted it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "owner_wishes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.String(length=60), nullable=False),
        sa.Column("note_sealed", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=60), nullable=True),
        sa.Column("lift_note_sealed", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owner_wishes")),
    )
    op.create_index("ix_owner_wishes_asked", "owner_wishes", ["asked_at", "id"], unique=False)
    op.create_table(
        "owner_wish_numbers",
        sa.Column("wish_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["wish_id"], ["owner_wishes.id"], name=op.f("fk_owner_wish_numbers_wish_id_owner_wishes")
        ),
        sa.PrimaryKeyConstraint("wish_id", "number", name=op.f("pk_owner_wish_numbers")),
    )
    op.create_index(op.f("ix_owner_wish_numbers_number"), "owner_wish_numbers", ["number"], unique=False)


def downgrade() -> None:
    """Undo. The caller keeps the numbers it was told of."""
    op.drop_table("owner_wish_numbers")
    op.drop_table("owner_wishes")
