"""Container options, webhooks and removals of applications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = ("options", "hook_secret", "removed_by", "removal_problem")


def upgrade() -> None:
    """Add the columns, which existing applications leave empty, and the table."""
    op.add_column("apps", sa.Column("options", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("apps", sa.Column("hook_secret", sa.String(64)))
    op.add_column("apps", sa.Column("removed_by", sa.String(254)))
    op.add_column(
        "apps", sa.Column("removal_problem", sa.Text(), nullable=False, server_default="")
    )
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hook_deliveries",
        sa.Column("id", key, nullable=False),
        sa.Column(
            "app_id",
            key,
            sa.ForeignKey("apps.id", ondelete="CASCADE", name="fk_hook_deliveries_app_id"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column(
            "deployment_id",
            key,
            sa.ForeignKey(
                "deployments.id", ondelete="CASCADE", name="fk_hook_deliveries_deployment_id"
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name="pk_hook_deliveries"),
        sa.UniqueConstraint("app_id", "digest", name="uq_hook_deliveries_app_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hook_deliveries_deployment_id", "hook_deliveries", ["deployment_id"])


def downgrade() -> None:
    """Drop the table and the columns with their contents."""
    op.drop_table("hook_deliveries")
    for name in reversed(_COLUMNS):
        op.drop_column("apps", name)
