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


class Project(msgspec.Struct, frozen=True):
    """A group of applications that its members may see."""

    id: int
    name: str
    created_at: str


class BuildLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of each step of a build: memory in bytes, and processors."""

    memory: int | None = None
    cpus: float | None = None


class ContainerOptions(msgspec.Struct, frozen=True):
    """How a deployment creates the container; stored as one JSON document.

    ``volumes`` are texts such as ``data:/var/lib/app:ro``.  ``memory`` is in bytes.
    ``networks`` replace ``deployments.network``, ``command`` replaces the image's.
    """

    volumes: tuple[str, ...] = ()
    labels: dict[str, str] = {}  # msgspec copies a mutable default
    networks: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    command: tuple[str, ...] | None = None
    build: BuildLimits = BuildLimits()


class App(msgspec.Struct, frozen=True):
    """An application.

    ``container`` is the effective container name, ``mist-app-ID`` by default.  ``port`` is
    the port on which the application listens inside its container.  ``env`` may contain
    secrets and is only for the container.  ``hook_secret`` signs the deliveries of its
    webhook; None without a webhook.  ``removed_by`` names the user who asked for its removal,
    which a worker carries out; ``removal_problem`` is why that worker has to try again.
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
    options: ContainerOptions = ContainerOptions()
    hook_secret: str | None = None
    removed_by: str | None = None
    removal_problem: str = ""


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
    options: ContainerOptions


class EditedFields(AppFields, total=False):
    """The fields of an application that an edit changes."""

    name: str


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
