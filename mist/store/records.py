"""The frozen records that the store returns, one type per table.

Timestamps are RFC 3339 texts in the format of :mod:`mist.clock`, or None for an event
that has not happened yet.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypedDict, get_args

import msgspec

# The tables check the same values.
Role = Literal["admin", "user"]
Right = Literal["viewer", "deployer"]
DeploymentState = Literal["pending", "building", "deploying", "success", "failed"]

# The states of a finished deployment.
FINISHED: Final[tuple[DeploymentState, ...]] = ("success", "failed")


# From the weakest to the strongest; each includes those before it.
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)


def covers(right: Right | None, needed: Right) -> bool:
    """Return True if ``right`` allows what ``needed`` allows; None allows nothing."""
    return right is not None and RIGHTS.index(right) >= RIGHTS.index(needed)


class Limits(msgspec.Struct, frozen=True):
    """What a token may do at most; None means as much as its user.

    ``apps`` holds the ids of applications.
    """

    right: Right | None = None
    apps: frozenset[int] | None = None

    def __bool__(self) -> bool:
        """Return True if there is a limit."""
        return self.right is not None or self.apps is not None

    def apply(self, app_id: int, right: Right | None) -> Right | None:
        """Return what is left of the user's ``right`` to this application."""
        if self.apps is not None and app_id not in self.apps:
            return None
        if right is None or self.right is None:
            return right
        return min(right, self.right, key=RIGHTS.index)


NO_LIMITS: Final = Limits()


class Viewer(Protocol):
    """A user of the store or a logged-in identity, as far as access checks need it."""

    @property
    def user_id(self) -> int | None:
        """The user's id; None for an identity known only from a token of a shared secret."""

    @property
    def admin(self) -> bool:
        """Return True if the viewer may do everything."""

    @property
    def all_apps(self) -> bool:
        """Return True if the account is an admin's, to which every application is open."""

    @property
    def limits(self) -> Limits:
        """The limits of the viewer's token."""


class User(msgspec.Struct, frozen=True):
    """An account.  Sessions that began before ``sessions_after`` (epoch seconds) are invalid."""

    id: int
    email: str
    role: Role
    created_at: str
    sessions_after: float = 0.0
    one_time: bool = False
    """True while the password is one that the program made up and the user must replace."""

    @property
    def user_id(self) -> int:
        """The id, as the protocol Viewer calls it."""
        return self.id

    @property
    def admin(self) -> bool:
        """Return True if the user may do everything."""
        return self.role == "admin"

    @property
    def all_apps(self) -> bool:
        """Return True if every application is open to the user."""
        return self.admin

    @property
    def limits(self) -> Limits:
        """A user has no limits besides the role and the grants."""
        return NO_LIMITS


class Grant(msgspec.Struct, frozen=True):
    """A user's right to an application."""

    app_id: int
    user_id: int
    email: str
    right: Right


class AccessToken(msgspec.Struct, frozen=True):
    """A token of a program, without its text; ``apps`` and ``right`` are its limits."""

    id: int
    user_id: int
    name: str
    right: Right | None
    apps: tuple[int, ...] | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None

    @property
    def limits(self) -> Limits:
        """What the token may do at most."""
        return Limits(self.right, None if self.apps is None else frozenset(self.apps))

    def expired(self, now: str) -> bool:
        """Return True if the token has expired by ``now``."""
        return self.expires_at is not None and self.expires_at <= now


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
