"""``mist app``: manage applications."""

from __future__ import annotations

import click
import msgspec

from cli import terminal
from cli.adopt import adopt
from cli.remote.choice import chosen_service, remotely
from cli.state import opened_store
from mist import validation
from mist.apps import management
from mist.apps.management import NewApp
from mist.errors import NotFound
from mist.store import App, Right
from mist.store.records import RIGHTS


@click.group("app")
def command() -> None:
    """Manage applications."""


command.add_command(adopt)


@command.command()
@click.argument("name")
@click.option("--container", help="Name of its container (default: mist-app-ID).")
@click.option("--git", "git_url", metavar="URL", help="Repository to deploy from.")
@click.option("--branch", help="Branch to deploy (default: the repository's default branch).")
@click.option("--dockerfile", default="Dockerfile", show_default=True, help="Its path there.")
@click.option("--port", type=int, help="Port on which it listens inside its container.")
@click.option("--env", "variables", multiple=True, metavar="K=V", help="Variable; repeatable.")
@click.option("--restart-policy", default="unless-stopped", show_default=True)
@click.option("--project", help="Project whose members may see it.")
@remotely
def add(variables: tuple[str, ...], **fields: str | int | None) -> None:
    """Add an application: a running container to watch, or a repository to deploy."""
    # The same type that HTTP uses, so both have the same defaults and checks.
    new = msgspec.convert({**fields, "env": validation.assignments(variables)}, NewApp)
    if (service := chosen_service()) is not None:
        from cli.remote import apps  # noqa: PLC0415 - as for every command from afar

        apps.add(service, new)
        return
    with opened_store() as store:
        app = management.add(store, new)
    terminal.say(f"Added {app.name}, id {app.id}, container {app.container}.")


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
        remaining = store.apps.permitted({(found.id, user.id)})
    terminal.say(f"Withdrew the grant of {user.email} for {found.name}.")
    if remaining:
        terminal.say(f"{user.email} may still see it, as an admin or a member of its project.")


def _repository(app: App) -> str:
    if app.git_url is None:
        return ""
    url = validation.public_git_url(app.git_url)
    return f"{url} ({app.branch})" if app.branch else url
