"""The tables of the first version: a frozen copy, independent of later changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    "users",
    "projects",
    "project_members",
    "apps",
    "grants",
    "deployments",
    "revocations",
    "login_failures",
)
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table, referenced tables first."""
    _users()
    _projects()
    _project_members()
    _apps()
    _grants()
    _deployments()
    _revocations()
    _login_failures()


def downgrade() -> None:
    """Drop every table in reverse order."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("sessions_after", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.String(length=30), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'user')", name="ck_users_role"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sqlite_autoincrement=True,
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=30), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
        sqlite_autoincrement=True,
    )


def _project_members() -> None:
    op.create_table(
        "project_members",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_project_members_project_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_project_members_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="pk_project_members"),
    )
    op.create_index("ix_project_members_user_id", "project_members", ["user_id"])


def _apps() -> None:
    op.create_table(
        "apps",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("container", sa.String(length=128)),
        sa.Column("git_url", sa.Text()),
        sa.Column("branch", sa.String(length=255)),
        sa.Column("dockerfile", sa.String(length=1024), nullable=False),
        sa.Column("port", sa.Integer()),
        sa.Column("env", sa.Text(), nullable=False),
        sa.Column("restart_policy", sa.String(length=32), nullable=False),
        sa.Column("project_id", _ID),
        sa.Column("created_at", sa.String(length=30), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_apps_project_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_apps"),
        sa.UniqueConstraint("name", name="uq_apps_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_apps_project_id", "apps", ["project_id"])


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("app_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["app_id"], ["apps.id"], name="fk_grants_app_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_grants_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("app_id", "user_id", name="pk_grants"),
    )
    op.create_index("ix_grants_user_id", "grants", ["user_id"])


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", _ID, nullable=False),
        sa.Column("app_id", _ID, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("commit_hash", sa.String(length=64)),
        sa.Column("commit_message", sa.Text()),
        sa.Column("image", sa.Text()),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("rollback_to", _ID),
        sa.Column("cancelled_by", sa.String(length=254)),
        sa.Column("created_at", sa.String(length=30), nullable=False),
        sa.Column("started_at", sa.String(length=30)),
        sa.Column("finished_at", sa.String(length=30)),
        sa.ForeignKeyConstraint(
            ["app_id"], ["apps.id"], name="fk_deployments_app_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["rollback_to"],
            ["deployments.id"],
            name="fk_deployments_rollback_to",
            ondelete="SET NULL",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'building', 'deploying', 'success', 'failed')",
            name="ck_deployments_status",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deployments_app_id", "deployments", ["app_id"])
    op.create_index("ix_deployments_status", "deployments", ["status"])


def _revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_revocations"),
    )
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])


def _login_failures() -> None:
    op.create_table(
        "login_failures",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_at", "login_failures", ["at"])
    op.create_index("ix_login_failures_key", "login_failures", ["key"])
