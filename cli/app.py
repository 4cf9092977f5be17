"""``mist app``: manage applications."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import click
import msgspec

from api.http.openapi.shapes import Application
from cli import app_fields, terminal
from cli.adopt import adopt
from cli.app_remove import remove
from cli.apps import opened_apps
from cli.remote.choice import remotely
from mist.apps.management import AppChanges, NewApp, PublicApp
from mist.errors import Conflict, UsageError
from mist.store import Right
from mist.store.records import RIGHTS

_T = TypeVar("_T")

_HEADINGS: Final = ("ID", "NAME", "CONTAINER", "REPOSITORY", "SINCE")


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
    with opened_apps() as apps:
        app = apps.add(new)
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
@remotely
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
    wanted = _converted(changes, AppChanges)
    with opened_apps() as apps:
        found = apps.find(app)
        after = apps.edit(found, wanted)
    terminal.say(f"Changed {after.name}: {', '.join(sorted(changes))}.")
    if after.container != found.container:
        terminal.say(f"The container {found.container} is left as it is.")
    if after.git_url is not None and changes.keys() - {"name", "project", "branch"}:
        terminal.say(f"The next deployment applies it: `mist deploy {after.name}`.")


@command.command("show")
@click.argument("app")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@remotely
def show_one(app: str, as_json: bool) -> None:
    """Show every field of APP (a name or an id); of variables only the names."""
    with opened_apps() as apps:
        found = apps.find(app)
    if as_json:
        terminal.write_json(found)
        return
    for field, value in msgspec.to_builtins(found).items():
        if value not in (None, "", [], {}):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            terminal.say(f"{field + ':':<16}{text}")


@command.command()
@click.argument("app")
@click.option("--rotate", is_flag=True, help="Replace the secret that it has.")
@click.option("--off", is_flag=True, help="Turn the webhook off.")
@remotely
def hook(app: str, rotate: bool, off: bool) -> None:
    """Turn on the webhook of APP (a name or an id), and print its secret once.

    A push to the application's branch then deploys it. GitHub, GitLab, Gitea and Forgejo
    are recognised.
    """
    with opened_apps() as apps:
        found = apps.find(app)
        if off:
            apps.end_hook(found)
            terminal.say(f"The webhook of {found.name} is off.")
            return
        if found.hook and not rotate:
            raise Conflict(
                f"{found.name} has a webhook, whose secret is not shown again; "
                f"`mist app hook {found.name} --rotate` replaces it"
            )
        url, secret = apps.new_hook(found)
    terminal.say(f"URL:    {url}")
    terminal.say(f"Secret: {secret}")
    terminal.say("Enter both at the Git provider, with content type JSON and push events.")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@remotely
def show(as_json: bool) -> None:
    """List the applications."""
    with opened_apps() as apps:
        found = apps.all()
    if as_json:
        terminal.write_json(found)
        return
    rows = list(map(_row, found))
    terminal.show_table(rows[0] if rows else _HEADINGS, [row.values() for row in rows])


@command.command()
@click.argument("app")
@click.argument("email")
@click.option("--right", type=click.Choice(RIGHTS), default="deployer", show_default=True)
@remotely
def grant(app: str, email: str, right: Right) -> None:
    """Let EMAIL see APP (a name or an id) and, unless a viewer, deploy it.

    A new grant takes the place of an earlier one.
    """
    with opened_apps() as apps:
        said = apps.grant(apps.find(app), email, right)
    terminal.say(f"{said}.")


@command.command()
@click.argument("app")
@click.argument("email")
@remotely
def revoke(app: str, email: str) -> None:
    """Withdraw what `grant` gave EMAIL; open streams of APP end within a minute."""
    with opened_apps() as apps:
        said = apps.revoke(apps.find(app), email)
    terminal.say(f"{said}.")


def _row(app: PublicApp) -> dict[str, str]:
    """Return the cells of a table by their headings; from afar with the right of the token."""
    texts = (str(app.id), app.name, app.container, _repository(app), app.created_at[:10])
    cells = dict(zip(_HEADINGS, texts, strict=True))
    if isinstance(app, Application):
        cells["RIGHT"] = app.right or ""
    return cells


def _repository(app: PublicApp) -> str:
    url = app.git_url or ""
    return f"{url} ({app.branch})" if app.branch else url


def _converted(values: dict[str, Any], kind: type[_T]) -> _T:
    """Return the values as the type that HTTP uses."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from None
