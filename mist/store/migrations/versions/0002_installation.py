"""The identity of this installation, which containers and session tokens name."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table and draw the id: one row, which stays for as long as the store does."""
    installation = op.create_table("installation", sa.Column("id", sa.String(32), primary_key=True))
    op.bulk_insert(installation, [{"id": secrets.token_hex(16)}])


def downgrade() -> None:
    """Drop the table, and the identity with it."""
    op.drop_table("installation")
