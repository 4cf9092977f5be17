"""The tables in SQLAlchemy Core; the migrations create them.

Ids are never reused (``sqlite_autoincrement``), because a deployment's id names its log
file and a bus topic.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite assigns ids itself only to columns of type INTEGER, which hold 64 bits.
_Id: Final = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True)


def _reference(name: str, target: str, **options: Any) -> Column[int]:
    # The database deletes dependent rows itself.
    return Column(name, _Id, ForeignKey(target, ondelete="CASCADE"), **options)


def _time(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, String(30), nullable=nullable)  # the length of mist.clock's format


# One row: the random id of the installation, 32 hexadecimal digits.
installation: Final = Table("installation", metadata, Column("id", String(32), primary_key=True))

users: Final = Table(
    "users",
    metadata,
    _id(),
    Column("email", String(254), nullable=False, unique=True),
    Column(
        "role", String(16), CheckConstraint("role IN ('admin', 'user')", "role"), nullable=False
    ),
    Column("password_hash", String(255), nullable=False),
    Column("sessions_after", Float(53), nullable=False),  # epoch seconds with a fraction
    # True until the user replaces a password that the program made up.
    Column("one_time", Boolean, nullable=False),
    _time("created_at"),
    sqlite_autoincrement=True,
)

projects: Final = Table(
    "projects",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    _time("created_at"),
    sqlite_autoincrement=True,
)

project_members: Final = Table(
    "project_members",
    metadata,
    _reference("project_id", "projects.id", primary_key=True),
    _reference("user_id", "users.id", primary_key=True, index=True),
)

apps: Final = Table(
    "apps",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("container", String(128)),
    Column("git_url", Text),
    Column("branch", String(255)),
    Column("dockerfile", String(1024), nullable=False),
    Column("port", Integer),
    Column("env", Text, nullable=False),  # JSON
    Column("restart_policy", String(32), nullable=False),
    Column("project_id", _Id, ForeignKey("projects.id", ondelete="SET NULL"), index=True),
    _time("created_at"),
    Column("options", Text, nullable=False, server_default="{}"),  # JSON
    # The key of an HMAC, so a digest of it would not do.
    Column("hook_secret", String(64)),
    Column("removed_by", String(254)),
    Column("removal_problem", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

grants: Final = Table(
    "grants",
    metadata,
    _reference("app_id", "apps.id", primary_key=True),
    _reference("user_id", "users.id", primary_key=True, index=True),
    Column("right", String(16), nullable=False),
)

# The tokens of programs, each with the rights of its user or less.
tokens: Final = Table(
    "tokens",
    metadata,
    _id(),
    _reference("user_id", "users.id", nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256
    Column("right", String(16)),
    Column("apps", Text),  # a JSON array of ids; ids are never reused
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("last_used_at", nullable=True),
    sqlite_autoincrement=True,
)

# Containers, by the engine's full id, that an application's next deployment may replace
# although no deployment of this installation created them.
adoptions: Final = Table(
    "adoptions",
    metadata,
    _reference("app_id", "apps.id", primary_key=True),
    Column("container_id", String(64), nullable=False, unique=True),
    _time("created_at"),
)

deployments: Final = Table(
    "deployments",
    metadata,
    _id(),
    _reference("app_id", "apps.id", nullable=False, index=True),
    Column(
        "status",
        String(16),
        CheckConstraint(
            "status IN ('pending', 'building', 'deploying', 'success', 'failed')", "status"
        ),
        nullable=False,
        index=True,
    ),
    Column("stage", String(32), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("commit_hash", String(64)),
    Column("commit_message", Text),
    Column("image", Text),
    Column("created_by", String(254), nullable=False),
    Column("rollback_to", _Id, ForeignKey("deployments.id", ondelete="SET NULL")),
    Column("cancelled_by", String(254)),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("finished_at", nullable=True),
    sqlite_autoincrement=True,
)

# The deliveries of webhooks that led to a deployment: digests of their ids.
hook_deliveries: Final = Table(
    "hook_deliveries",
    metadata,
    _id(),
    _reference("app_id", "apps.id", nullable=False),
    Column("digest", String(64), nullable=False),
    _reference("deployment_id", "deployments.id", nullable=False, index=True),
    UniqueConstraint("app_id", "digest"),
    sqlite_autoincrement=True,
)

# Digests of revoked sessions, kept until the session's own expiry.
revocations: Final = Table(
    "revocations",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires_at", Float(53), nullable=False, index=True),
)

# Log-in attempts per account and address that failed or are still being checked.
login_failures: Final = Table(
    "login_failures",
    metadata,
    _id(),
    Column("key", String(320), nullable=False, index=True),
    Column("at", Float(53), nullable=False, index=True),
)

# Who changed what, from which address; the newest records are kept.
audit: Final = Table(
    "audit",
    metadata,
    _id(),
    _time("at"),
    Column("by", String(500), nullable=False),
    Column("address", String(500), nullable=False),
    Column("action", String(500), nullable=False),
    Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)
