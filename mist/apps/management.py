"""Create applications and grant access to them, for both HTTP and the command line."""

from __future__ import annotations

import msgspec

from mist import validation
from mist.errors import NotFound, UsageError
from mist.store import App, AppFields, Store, User


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
    restart_policy: str = "unless-stopped"
    project: str | None = None


def add(store: Store, new: NewApp) -> App:
    """Add an application and return it; raise UsageError or Conflict with the reason."""
    fields = _checked(new)
    if new.project is not None:
        fields["project_id"] = project_id(store, new.project)
    return store.apps.add(validation.name(new.name), **fields)


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
        raise NotFound(f"there is no user {email[:80]!r}; `mist user list` lists them")
    return user


def public(app: App) -> dict[str, object]:
    """Return the fields that any viewer may read; of ``env`` only the names."""
    return {
        "id": app.id,
        "name": app.name,
        "container": app.container,
        "git_url": app.git_url and validation.public_git_url(app.git_url),
        "branch": app.branch,
        "dockerfile": app.dockerfile,
        "port": app.port,
        "env": sorted(app.env),
        "restart_policy": app.restart_policy,
        "project_id": app.project_id,
        "created_at": app.created_at,
    }


def _checked(new: NewApp) -> AppFields:
    if new.git_url is None and new.branch is not None:
        raise UsageError("a branch needs a Git URL; give both")
    return {
        "container": new.container and validation.container(new.container),
        "git_url": new.git_url and validation.git_url(new.git_url),
        "branch": new.branch and validation.branch(new.branch),
        "dockerfile": validation.dockerfile(new.dockerfile),
        "port": None if new.port is None else validation.port(new.port),
        "env": validation.environment(new.env),
        "restart_policy": validation.restart_policy(new.restart_policy),
    }
