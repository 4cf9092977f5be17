"""The frozen records that the store returns, one type per table.

Timestamps are RFC 3339 texts in the format of :mod:`mist.clock`, or None for an event
that has not happened yet.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypedDict

import msgspec

# The tables check the same values.
Role = Literal["admin", "user"]
DeploymentState = Literal["pending", "building", "deploying", "success", "failed"]

# The states of a finished deployment.
FINISHED: Final[tuple[DeploymentState, ...]] = ("success", "failed")


class Viewer(Protocol):
    """A user of the store or a logged-in identity, as far as access checks need it."""

    @property
    def user_id(self) -> int | None:
        """The user's id; None for an identity known only from a token of a shared secret."""

    @property
    def admin(self) -> bool:
        """Return True if the viewer may do everything."""


class User(msgspec.Struct, frozen=True):
    """An account.  Sessions that began before ``sessions_after`` (epoch seconds) are invalid."""

    id: int
    email: str
    role: Role
    created_at: str
    sessions_after: float = 0.0

    @property
    def user_id(self) -> int:
        """The id, as the protocol Viewer calls it."""
        return self.id

    @property
    def admin(self) -> bool:
        """Return True if the user may do everything."""
        return self.role == "admin"


class AuditRecord(msgspec.Struct, frozen=True):
    """A change: when, by whom (an email address, or a program), from where, and what."""

    id: int
    at: str
    by: str
    address: str
    """The client's address; empty for a command on this machine."""
    action: str
    """Method and path of the request, or the command."""
    text: str
    """What the answer said."""


class Project(msgspec.Struct, frozen=True):
    """A group of applications that its members may see."""

    id: int
    name: str
    created_at: str


class App(msgspec.Struct, frozen=True):
    """An application.

    ``container`` is the effective container name, ``mist-app-ID`` by default.  ``port`` is
    the port on which the application listens inside its container.  ``env`` may contain
    secrets and is only for the container.
    """

    id: int
    name: str
    container: str
    git_url: str | None
    branch: str | None
    dockerfile: str
    port: int | None
    env: dict[str, str]
    restart_policy: str
    project_id: int | None
    created_at: str


class AppFields(TypedDict, total=False):
    """The optional fields of a new application."""

    container: str | None
    git_url: str | None
    branch: str | None
    dockerfile: str
    port: int | None
    env: dict[str, str]
    restart_policy: str
    project_id: int | None


class Deployment(msgspec.Struct, frozen=True):
    """A deployment; ``progress`` is in percent, 0 to 100."""

    id: int
    app_id: int
    status: DeploymentState
    stage: str
    progress: int
    message: str
    error_message: str
    commit_hash: str | None
    commit_message: str | None
    image: str | None
    created_by: str
    rollback_to: int | None
    cancelled_by: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None

    @property
    def finished(self) -> bool:
        """Return True if the deployment has ended and its row no longer changes."""
        return self.status in FINISHED


class DeploymentChanges(TypedDict, total=False):
    """The fields that the runner and the supervisor update."""

    status: DeploymentState
    stage: str
    progress: int
    message: str
    error_message: str
    commit_hash: str | None
    commit_message: str | None
    image: str | None
    started_at: str | None
    finished_at: str | None
