"""The containers that ``mist app adopt`` allows a deployment to replace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "adoptions",
        sa.Column(
            "app_id",
            key,
            sa.ForeignKey("apps.id", ondelete="CASCADE", name="fk_adoptions_app_id"),
            nullable=False,
        ),
        sa.Column("container_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(30), nullable=False),
        sa.PrimaryKeyConstraint("app_id", name="pk_adoptions"),
        sa.UniqueConstraint("container_id", name="uq_adoptions_container_id"),
    )


def downgrade() -> None:
    """Drop the table; adopted containers that were not replaced yet must be adopted again."""
    op.drop_table("adoptions")
