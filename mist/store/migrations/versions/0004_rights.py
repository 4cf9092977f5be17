"""Rights of grants, tokens of programs, and passwords that must be replaced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table; every earlier grant allowed its user to deploy."""
    op.add_column(
        "grants",
        sa.Column("right", sa.String(16), nullable=False, server_default="deployer"),
    )
    op.add_column(
        "users", sa.Column("one_time", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "tokens",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("right", sa.String(16)),
        sa.Column("apps", sa.Text()),
        sa.Column("created_at", sa.String(30), nullable=False),
        sa.Column("expires_at", sa.String(30)),
        sa.Column("last_used_at", sa.String(30)),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_tokens_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])


def downgrade() -> None:
    """Drop the table and the columns; every grant allows its user to deploy again."""
    op.drop_table("tokens")
    op.drop_column("users", "one_time")
    op.drop_column("grants", "right")
