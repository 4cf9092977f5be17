"""What the store hands out: frozen records, one for each table that others read.

Times are RFC 3339 texts as :mod:`mist.clock` makes them, or None while the
thing has not happened.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypedDict

import msgspec

Role = Literal["admin", "user"]
DeploymentState = Literal["pending", "building", "deploying", "success", "failed"]

#: The states in which a deployment is over.
FINISHED: Final[tuple[DeploymentState, ...]] = ("success", "failed")


class Viewer(Protocol):
    """Whoever asks for something: a user of the store, or a logged-in identity."""

    @property
    def user_id(self) -> int | None:
        """The user's id; None for somebody whom only a shared secret vouches for."""

    @property
    def admin(self) -> bool:
        """Whether everything is allowed."""


class User(msgspec.Struct, frozen=True):
    """An account; ``sessions_after`` ends sessions that began before it (epoch seconds)."""

    id: int
    email: str
    role: Role
    created_at: str
    sessions_after: float = 0.0

    @property
    def user_id(self) -> int:
        """The id, under the name that a Viewer has it."""
        return self.id

    @property
    def admin(self) -> bool:
        """Whether everything is allowed."""
        return self.role == "admin"


class Project(msgspec.Struct, frozen=True):
    """A group of applications that its members may see."""

    id: int
    name: str
    created_at: str


class App(msgspec.Struct, frozen=True):
    """An application; ``container`` is the name in force, ``mist-app-ID`` unless another was set.

    ``port`` is the port that the application listens on in its container;
    ``env`` may hold secrets and is for the container alone.
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
    """What a new application may be given beside its name."""

    container: str | None
    git_url: str | None
    branch: str | None
    dockerfile: str
    port: int | None
    env: dict[str, str]
    restart_policy: str
    project_id: int | None


class Deployment(msgspec.Struct, frozen=True):
    """One deployment; ``progress`` is a percentage, 0 to 100."""

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
        """Whether nothing will change any more."""
        return self.status in FINISHED


class DeploymentChanges(TypedDict, total=False):
    """The fields of a deployment that its runner and the supervisor write."""

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
