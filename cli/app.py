"""``mist app``: manage applications."""

from __future__ import annotations

from typing import Any, TypeVar

import click
import msgspec

from cli import app_fields, terminal
from cli.adopt import adopt
from cli.app_remove import remove
from cli.remote.choice import chosen_service, remotely
from cli.state import note_change, opened_store
from mist import validation
from mist.apps import management
from mist.apps.management import AppChanges, NewApp
from mist.errors import Conflict, NotFound, UsageError
from mist.settings import load_settings
from mist.store import App, Right
from mist.store.records import RIGHTS

_T = TypeVar("_T")


@click.group("app")
def command() -> None:
    """Manage applications."""


command.add_command(adopt)


command.add_command(remove)


@command.command()
@click.argument("name")
@app_fields.options
@remotely
def add(name: str, **given: Any) -> None:
    """Add an application: a running container to watch, or a repository to deploy."""
    # The same type that HTTP uses, so both have the same defaults and checks.
    new = _converted({"name": name, **app_fields.fields(given)}, NewApp)
    if (service := chosen_service()) is not None:
        from cli.remote import apps  # noqa: PLC0415 - as for every command from afar

        apps.add(service, new)
        return
    with opened_store() as store:
        app = management.add(store, new, load_settings().deployments)
        note_change(store)
    terminal.say(f"Added {app.name}, id {app.id}, container {app.container}.")


@command.command()
@click.argument("app")
@click.option("--name", help="New name.")
@app_fields.options
@click.option("--no-env", "no_env", multiple=True, metavar="K", help="Variable to remove.")
@click.option("--no-label", "no_label", multiple=True, metavar="K", help="Label to remove.")
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(app_fields.CLEARABLE),
    help="Field to reset to its default; repeatable.",
)
def edit(
    app: str,
    name: str | None,
    no_env: tuple[str, ...],
    no_label: tuple[str, ...],
    clear: tuple[str, ...],
    **given: Any,
) -> None:
    """Change fields of APP (a name or an id); the next deployment applies them.

    Variables and labels are added to those that it has. Volumes and networks replace them.
    """
    changes = app_fields.fields(given)
    if name is not None:
        changes["name"] = name
    for field, names in (("env", no_env), ("labels", no_label)):
        if names:
            changes[field] = changes.get(field, {}) | dict.fromkeys(names)
    for field in clear:
        key = {"git": "git_url"}.get(field, field.replace("-", "_"))
        if key in changes:
            raise UsageError(f"--clear {field} contradicts another option; give one of them")
        changes[key] = None
    if not changes:
        raise UsageError("nothing to change; `mist app edit --help` lists the options")
    with opened_store() as store:
        found = management.find_app(store, app)
        limits = load_settings().deployments
        after = management.edit(store, found.id, _converted(changes, AppChanges), limits)
        note_change(store)
    terminal.say(f"Changed {after.name}: {', '.join(sorted(changes))}.")
    if after.container != found.container:
        terminal.say(f"The container {found.container} is left as it is.")
    if after.git_url is not None and changes.keys() - {"name", "project", "branch"}:
        terminal.say(f"The next deployment applies it: `mist deploy {after.name}`.")


@command.command("show")
@click.argument("app")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_one(app: str, as_json: bool) -> None:
    """Show every field of APP (a name or an id); of variables only the names."""
    with opened_store() as store:
        public = management.public(management.find_app(store, app))
    if as_json:
        terminal.write_json(public)
        return
    for field, value in public.items():
        if value not in (None, "", [], {}):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            terminal.say(f"{field + ':':<16}{text}")


@command.command()
@click.argument("app")
@click.option("--rotate", is_flag=True, help="Replace the secret that it has.")
@click.option("--off", is_flag=True, help="Turn the webhook off.")
def hook(app: str, rotate: bool, off: bool) -> None:
    """Turn on the webhook of APP (a name or an id), and print its secret once.

    A push to the application's branch then deploys it. GitHub, GitLab, Gitea and Forgejo
    are recognised.
    """
    with opened_store() as store:
        found = management.find_app(store, app)
        if off:
            store.apps.set_hook_secret(found.id, None)
            note_change(store)
            terminal.say(f"The webhook of {found.name} is off.")
            return
        if found.hook_secret is not None and not rotate:
            raise Conflict(
                f"{found.name} has a webhook, whose secret is not shown again; "
                f"`mist app hook {found.name} --rotate` replaces it"
            )
        secret = management.new_hook(store, found)
        note_change(store)
    terminal.say(f"URL:    https://YOUR-HOST{management.hook_path(found)}")
    terminal.say(f"Secret: {secret}")
    terminal.say("Enter both at the Git provider, with content type JSON and push events.")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@remotely
def show(as_json: bool) -> None:
    """List the applications."""
    if (service := chosen_service()) is not None:
        from cli.remote import apps as remote_apps  # noqa: PLC0415

        remote_apps.show(service, as_json)
        return
    with opened_store() as store:
        apps = store.apps.all()
    if as_json:
        terminal.write_json([management.public(each) for each in apps])
        return
    rows = [
        (str(each.id), each.name, each.container, _repository(each), each.created_at[:10])
        for each in apps
    ]
    terminal.show_table(("ID", "NAME", "CONTAINER", "REPOSITORY", "SINCE"), rows)


@command.command()
@click.argument("app")
@click.argument("email")
@click.option("--right", type=click.Choice(RIGHTS), default="deployer", show_default=True)
@remotely
def grant(app: str, email: str, right: Right) -> None:
    """Let EMAIL see APP (a name or an id) and, unless a viewer, deploy it.

    A new grant takes the place of an earlier one.
    """
    if (service := chosen_service()) is not None:
        from cli.remote import apps  # noqa: PLC0415

        apps.grant(service, app, email, right)
        return
    with opened_store() as store:
        found, user = management.find_app(store, app), management.find_user(store, email)
        store.apps.grant(found.id, user.id, right)
        note_change(store)
        stronger = store.apps.right(found.id, user) != right
    may = "see and deploy" if right == "deployer" else "see"
    terminal.say(f"{user.email} may now {may} {found.name}.")
    if stronger:
        terminal.say(f"{user.email} may also deploy it, as an admin or a member of its project.")


@command.command()
@click.argument("app")
@click.argument("email")
@remotely
def revoke(app: str, email: str) -> None:
    """Withdraw what `grant` gave EMAIL; open streams of APP end within a minute."""
    if (service := chosen_service()) is not None:
        from cli.remote import apps  # noqa: PLC0415

        apps.revoke(service, app, email)
        return
    with opened_store() as store:
        found, user = management.find_app(store, app), management.find_user(store, email)
        if not store.apps.revoke(found.id, user.id):
            raise NotFound(f"{user.email} has no grant for {found.name}")
        note_change(store)
        remaining = store.apps.permitted({(found.id, user.id)})
    terminal.say(f"Withdrew the grant of {user.email} for {found.name}.")
    if remaining:
        terminal.say(f"{user.email} may still see it, as an admin or a member of its project.")


def _repository(app: App) -> str:
    if app.git_url is None:
        return ""
    url = validation.public_git_url(app.git_url)
    return f"{url} ({app.branch})" if app.branch else url


def _converted(values: dict[str, Any], kind: type[_T]) -> _T:
    """Return the values as the type that HTTP uses."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from None
