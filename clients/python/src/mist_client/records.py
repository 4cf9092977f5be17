"""The answers and the bodies of the HTTP API, as `/api/openapi.json` describes them.

Times are RFC 3339 texts, or None for what has not happened yet.
"""

from __future__ import annotations

from typing import Literal, Required, TypedDict

import msgspec

Role = Literal["admin", "user"]
Right = Literal["viewer", "deployer"]
DeploymentState = Literal["pending", "building", "deploying", "success", "failed"]


class Me(msgspec.Struct, frozen=True):
    """The signed-in user."""

    user_id: int | None
    """None for an identity of another installation that shares the secret."""
    email: str
    role: Role
    expires_at: str | None
    """None for a token without an end."""
    must_change_password: bool
    """After a sign-in with a one-time password, nothing else works before it is replaced."""


class Account(msgspec.Struct, frozen=True):
    """An account."""

    id: int
    email: str
    role: Role
    created_at: str
    must_change_password: bool


class NewAccount(Account, frozen=True, kw_only=True):
    """A new account, with the password that the service made up, if it did."""

    one_time_password: str | msgspec.UnsetType = msgspec.UNSET


class Token(msgspec.Struct, frozen=True):
    """A token of a program; ``right`` and ``apps`` are its limits, None without one."""

    id: int
    name: str
    user: str
    right: Right | None
    apps: list[int] | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class NewToken(Token, frozen=True, kw_only=True):
    """A new token, with its text, which is not shown again."""

    token: str


class BuildLimits(msgspec.Struct, frozen=True):
    """The limits of each step of a build: memory in bytes, and processors."""

    memory: int | None = None
    cpus: float | None = None


class App(msgspec.Struct, frozen=True):
    """An application; of ``env`` only the names, because the values may be secret."""

    id: int
    name: str
    container: str
    git_url: str | None
    branch: str | None
    dockerfile: str
    port: int | None
    env: list[str]
    restart_policy: str
    project_id: int | None
    created_at: str
    volumes: list[str]
    labels: dict[str, str]
    networks: list[str]
    memory: int | None
    cpus: float | None
    command: list[str] | None
    build: BuildLimits
    hook: bool
    removed_by: str | None
    """Who asked for the removal of the application, which then is about to go."""
    removal_problem: str
    right: Right | None
    """What the user may do."""


class Grant(msgspec.Struct, frozen=True):
    """A user's right to an application."""

    app_id: int
    user_id: int
    email: str
    right: Right


class Hook(msgspec.Struct, frozen=True):
    """The webhook of an application, with its secret, which is not shown again."""

    path: str
    secret: str


class Deployment(msgspec.Struct, frozen=True):
    """A deployment of an application."""

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


class AuditRecord(msgspec.Struct, frozen=True):
    """A change: when, by whom, from where, and what."""

    id: int
    at: str
    by: str
    address: str
    """Empty for a command on the service's own machine."""
    action: str
    text: str


class Readiness(msgspec.Struct, frozen=True):
    """Problems by part of the service; None where there is none."""

    store: str | None
    bus: str | None
    processes: str | msgspec.UnsetType = msgspec.UNSET


class Fact(msgspec.Struct, frozen=True):
    """A property of a container, and what the next deployment does with it."""

    what: str
    now: str
    then: str


class Adoptable(msgspec.Struct, frozen=True):
    """A container that the next deployment may replace once it is adopted."""

    container_id: str
    state: str
    facts: list[Fact]
    notes: list[str]
    """Warnings about side effects of replacing it."""


class StatusRow(msgspec.Struct, frozen=True):
    """A process of the service."""

    process: str
    pid: int | None
    state: str
    since: str
    restarts: int
    why: str
    silent: float | None = None
    """The seconds since its loop last turned; None if it does not report that."""


class ServiceStatus(msgspec.Struct, frozen=True):
    """The supervisor and its processes."""

    version: str
    pid: int
    state: str
    since: str
    processes: list[StatusRow]


class BuildChanges(TypedDict, total=False):
    """The limits of each step of a build; ``memory`` in bytes, or a text such as "512m"."""

    memory: int | str | None
    cpus: float | None


class NewApp(TypedDict, total=False):
    """The properties of a new application."""

    name: Required[str]
    container: str | None
    git_url: str | None
    branch: str | None
    dockerfile: str
    port: int | None
    env: dict[str, str]
    restart_policy: str
    project: str | None
    volumes: list[str]
    labels: dict[str, str]
    networks: list[str]
    memory: int | str | None
    cpus: float | None
    command: list[str] | str | None
    build: BuildChanges


class AppChanges(TypedDict, total=False):
    """A change (RFC 7396): None stands for the default; mappings are merged."""

    name: str
    container: str | None
    git_url: str | None
    branch: str | None
    dockerfile: str | None
    port: int | None
    env: dict[str, str | None] | None
    restart_policy: str | None
    project: str | None
    volumes: list[str] | None
    labels: dict[str, str | None] | None
    networks: list[str] | None
    memory: int | str | None
    cpus: float | None
    command: list[str] | str | None
    build: BuildChanges | None


class OlderRange(TypedDict, total=False):
    """Which older lines to read."""

    since: str | None
    """RFC 3339, or a duration before now such as ``2h``."""
    until: str | None
    """The end, which is not in the range."""
    tail: int | None
    """The last lines of the range, before ``q`` and ``stream`` choose among them."""
    q: str | None
    """Only lines that contain this text."""
    regex: bool
    """``q`` is a regular expression (RE2)."""
    case: bool
    """Upper and lower case differ."""
    invert: bool
    """Only lines that do not match."""
    stream: Literal["stdout", "stderr"] | None
    order: Literal["asc", "desc"] | None
    """``desc`` begins with the newest line."""
    limit: int | None
    """Stop after so many lines that match."""
