"""Create applications and grant access to them, for both HTTP and the command line."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from mist import validation
from mist.apps import options
from mist.apps.options import BuildChanges
from mist.errors import Conflict, NotFound, UsageError
from mist.settings import DeploymentSettings
from mist.store import App, BuildLimits, ContainerOptions, EditedFields, Right, Store, User
from mist.store.apps import DEFAULT_RESTART

_OPTIONS: Final = frozenset(ContainerOptions.__struct_fields__)
_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": validation.name,
    "container": validation.container,
    "git_url": validation.git_url,
    "branch": validation.branch,
    "dockerfile": validation.dockerfile,
    "port": validation.port,
    "restart_policy": validation.restart_policy,
}
_STANDARD: Final = DeploymentSettings()
# The values of fields that are not given; the others have none.
_DEFAULTS: Final = {"dockerfile": "Dockerfile", "restart_policy": DEFAULT_RESTART}


class NewApp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a new application; ``container`` defaults to ``mist-app-ID``.

    ``project`` is the name of a project whose members may see the application; it is
    created if it does not exist.
    """

    name: str
    container: str | None = None
    git_url: str | None = None
    branch: str | None = None
    dockerfile: str = "Dockerfile"
    port: int | None = None
    env: dict[str, str] = {}  # msgspec copies a mutable default
    restart_policy: str = DEFAULT_RESTART
    project: str | None = None
    volumes: list[str] = []
    labels: dict[str, str] = {}
    networks: list[str] = []
    memory: int | str | None = None
    cpus: float | None = None
    command: list[str] | str | None = None
    build: BuildChanges = BuildChanges()


class AppChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields to change, as a JSON merge patch (RFC 7396).

    None stands for the default.  ``env``, ``labels`` and ``build`` are merged, because the
    values of ``env`` cannot be read to be sent again.
    """

    name: str | UnsetType = UNSET
    container: str | UnsetType | None = UNSET
    git_url: str | UnsetType | None = UNSET
    branch: str | UnsetType | None = UNSET
    dockerfile: str | UnsetType | None = UNSET
    port: int | UnsetType | None = UNSET
    env: dict[str, str | None] | UnsetType | None = UNSET
    restart_policy: str | UnsetType | None = UNSET
    project: str | UnsetType | None = UNSET
    volumes: list[str] | UnsetType | None = UNSET
    labels: dict[str, str | None] | UnsetType | None = UNSET
    networks: list[str] | UnsetType | None = UNSET
    memory: int | str | UnsetType | None = UNSET
    cpus: float | UnsetType | None = UNSET
    command: list[str] | str | UnsetType | None = UNSET
    build: BuildChanges | UnsetType | None = UNSET


class PublicApp(msgspec.Struct, frozen=True):
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
    volumes: tuple[str, ...]
    labels: dict[str, str]
    networks: tuple[str, ...]
    memory: int | None
    cpus: float | None
    command: tuple[str, ...] | None
    build: BuildLimits
    hook: bool
    removed_by: str | None
    removal_problem: str


def add(store: Store, new: NewApp, limits: DeploymentSettings = _STANDARD) -> App:
    """Add an application and return it; raise UsageError or Conflict with the reason."""
    given = {name: getattr(new, name) for name in new.__struct_fields__}
    project = given.pop("project")
    fields = _checked(given, None, limits)
    if project is not None:
        fields["project_id"] = project_id(store, project)
    return store.apps.add(**cast(Any, fields))


def edit(store: Store, app_id: int, changes: AppChanges, limits: DeploymentSettings) -> App:
    """Change an application and return it; raise UsageError or Conflict with the reason.

    A deployment that runs keeps the settings with which it began.
    """
    fields = changed_fields(changes)
    more: EditedFields = {}
    if "project" in fields:
        project = fields.pop("project")
        # Checked first, so that a wrong edit does not leave a new project behind.
        _checked(fields, _existing(store, app_id), limits)
        more["project_id"] = None if project is None else project_id(store, project)
    return store.apps.edit(app_id, lambda before: {**_checked(fields, before, limits), **more})


def changed_fields(changes: AppChanges) -> dict[str, Any]:
    """Return the fields to change, with their new values."""
    values = {name: getattr(changes, name) for name in changes.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


def grant(store: Store, app: App, user: User, right: Right) -> str:
    """Give a user a right to an application; return what the user may do now."""
    _check_stays(app)
    store.apps.grant(app.id, user.id, right)
    may = "see and deploy" if right == "deployer" else "see"
    said = f"{user.email} may now {may} {app.name}"
    if store.apps.right(app.id, user) != right:
        said += "; the user may also deploy it, as an admin or a member of its project"
    return said


def revoke(store: Store, app: App, user: User) -> str:
    """Withdraw a grant, and return what remains; raise NotFound without a grant."""
    if not store.apps.revoke(app.id, user.id):
        raise NotFound(f"{user.email} has no grant for {app.name}")
    said = f"Withdrew the grant of {user.email} for {app.name}"
    if store.apps.permitted({(app.id, user.id)}):
        said += "; the user may still see it, as an admin or a member of its project"
    return said


def new_hook(store: Store, app: App) -> str:
    """Return a new secret for the application's webhook; raise Conflict without a repository.

    The store keeps the secret itself, because a signature is computed with it.
    """
    _check_stays(app)
    if app.git_url is None:
        raise Conflict(f"{app.name} has no Git repository to deploy from, so it has no webhook")
    secret = secrets.token_urlsafe(32)
    store.apps.set_hook_secret(app.id, secret)
    return secret


def hook_path(app: App) -> str:
    """Return the path of the application's webhook."""
    return f"/api/hooks/{app.id}"


def _check_stays(app: App) -> None:
    if app.removed_by is not None:
        raise Conflict(f"{app.name} is being removed")


def _existing(store: Store, app_id: int) -> App:
    app = store.apps.get(app_id)
    if app is None:
        raise NotFound("Application not found")
    return app


def project_id(store: Store, name: str) -> int:
    """Return the id of the project called ``name``, creating it if necessary."""
    found = store.projects.by_name(validation.name(name, "project"))
    return (found or store.projects.add(name)).id


def find_app(store: Store, text: str) -> App:
    """Return the application with this name or id, or raise NotFound."""
    app = store.apps.by_name(text)
    # 18 digits always fit into an id; the database drivers fail on larger numbers.
    if app is None and text.isascii() and text.isdigit() and len(text) < 19:
        app = store.apps.get(int(text))
    if app is None:
        raise NotFound(f"there is no application {text[:80]!r}; `mist app list` lists them")
    return app


def find_user(store: Store, email: str) -> User:
    """Return the user with this email address, or raise NotFound."""
    user = store.users.by_email(email)
    if user is None:
        raise no_user(email)
    return user


def no_user(email: str) -> NotFound:
    """Return the error for an address that no account has."""
    return NotFound(f"there is no user {email[:80]!r}; `mist user list` lists them")


def public(app: App) -> PublicApp:
    """Return the fields that any viewer may read."""
    return PublicApp(
        id=app.id,
        name=app.name,
        container=app.container,
        git_url=app.git_url and validation.public_git_url(app.git_url),
        branch=app.branch,
        dockerfile=app.dockerfile,
        port=app.port,
        env=sorted(app.env),
        restart_policy=app.restart_policy,
        project_id=app.project_id,
        created_at=app.created_at,
        **msgspec.structs.asdict(app.options),
        hook=app.hook_secret is not None,
        removed_by=app.removed_by,
        removal_problem=app.removal_problem,
    )


def _checked(
    given: Mapping[str, Any], before: App | None, limits: DeploymentSettings
) -> EditedFields:
    """Return the fields of a change to ``before``, or of a new application."""
    fields: dict[str, Any] = {
        name: _DEFAULTS.get(name) if value is None else _CHECKS[name](value)
        for name, value in given.items()
        if name in _CHECKS
    }
    if "env" in given:
        env = {} if given["env"] is None else given["env"]
        former = before.env if before and given["env"] is not None else {}
        fields["env"] = validation.environment(options.merged(former, env))
    wanted = {name: value for name, value in given.items() if name in _OPTIONS}
    if wanted:
        current = before.options if before else ContainerOptions()
        fields["options"] = options.changed(current, wanted, limits.host_paths)
    url, branch = (fields.get(name, getattr(before, name, None)) for name in ("git_url", "branch"))
    if url is None and branch is not None:
        raise UsageError("a branch needs a Git URL; give both, or neither")
    return cast(EditedFields, fields)
