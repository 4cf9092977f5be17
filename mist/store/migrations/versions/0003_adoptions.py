"""The containers that `mist app adopt` lets a deployment replace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
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
    """Drop the table: what was adopted and not replaced yet has to be adopted again."""
    op.drop_table("adoptions")
