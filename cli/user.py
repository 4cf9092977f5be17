"""``mist user``: manage accounts."""

from __future__ import annotations

import sys
from typing import get_args

import click

from cli import terminal
from cli.remote.choice import note_local
from cli.state import note_change, opened_store
from mist import validation
from mist.accounts import passwords
from mist.apps.management import find_user, project_id
from mist.store import Role
from mist.visible import visible


@click.group("user")
def command() -> None:
    """Manage accounts."""
    note_local("mist user", "accounts")


@command.command()
@click.argument("email")
@click.option("--admin", is_flag=True, help="May see and do everything.")
@click.option("--project", "projects", multiple=True, help="Project to join; may be repeated.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add(email: str, admin: bool, projects: tuple[str, ...], password_stdin: bool) -> None:
    """Add an account.

    Without --password-stdin, a terminal prompts for the password; otherwise the command
    generates one and prints it once, and the user has to replace it at the first sign-in.
    """
    # Everything is checked before the password is asked for.
    address = validation.email(email)
    names = [validation.name(each, "project") for each in projects]
    password, printed = _password(address, password_stdin)
    role: Role = "admin" if admin else "user"
    with opened_store() as store:
        user = store.users.add(address, passwords.make_hash(password), role, one_time=printed)
        for each in names:
            store.projects.add_member(project_id(store, each), user.id)
        note_change(store)
    terminal.say(f"Added {user.email} ({user.role}), id {user.id}.")
    _print_once(password, printed)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def show(as_json: bool) -> None:
    """List the accounts."""
    with opened_store() as store:
        users = store.users.all()
    if as_json:
        rows = [
            {"id": each.id, "email": each.email, "role": each.role, "created_at": each.created_at}
            for each in users
        ]
        terminal.write_json(rows)
        return
    terminal.show_table(
        ("ID", "EMAIL", "ROLE", "SINCE"),
        [(str(each.id), each.email, each.role, each.created_at[:10]) for each in users],
    )


@command.command()
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def passwd(email: str, password_stdin: bool) -> None:
    """Set a new password and end every session of the account."""
    with opened_store() as store:
        user = find_user(store, email)
        password, printed = _password(user.email, password_stdin)
        store.users.set_password(user.id, passwords.make_hash(password), one_time=printed)
        note_change(store)
    terminal.say(f"Changed the password of {user.email} and ended its sessions.")
    _print_once(password, printed)


@command.command()
@click.argument("email")
@click.argument("new_role", metavar="ROLE", type=click.Choice(get_args(Role)))
def role(email: str, new_role: Role) -> None:
    """Make EMAIL an admin, or a user who sees only granted applications."""
    with opened_store() as store:
        user = find_user(store, email)
        store.users.set_role(user.id, new_role)
        note_change(store)
    terminal.say(f"{user.email} is now {'an admin' if new_role == 'admin' else 'a user'}.")


@command.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(email: str, yes: bool) -> None:
    """Remove an account with its grants, and end its sessions."""
    with opened_store() as store:
        user = find_user(store, email)
        if not yes:
            click.confirm(visible(f"Remove {user.email}?"), abort=True)
        store.users.remove(user.id)
        note_change(store)
    terminal.say(f"Removed {user.email}.")


def _password(email: str, from_stdin: bool) -> tuple[str, bool]:
    """Return the new password, and True if it was generated and has to be shown."""
    if from_stdin:
        # Only the line ending is removed: a password may end with spaces.
        return passwords.check(sys.stdin.readline().rstrip("\r\n"), email), False
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return passwords.check(typed, email), False
    return passwords.generate(), True  # neither a terminal nor --password-stdin


def _print_once(password: str, printed: bool) -> None:
    if printed:
        terminal.say(f"One-time password: {password}")
