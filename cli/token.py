"""``mist token``: manage the tokens of programs."""

from __future__ import annotations

import click

from cli import terminal
from cli.remote.choice import note_local
from cli.state import note_change, opened_store
from mist import clock
from mist.accounts import access_tokens
from mist.accounts.access_tokens import NewToken
from mist.apps.management import find_app, find_user
from mist.errors import NotFound
from mist.ids import MAX_ID
from mist.settings import load_settings
from mist.store import AccessToken, Right, Store, User
from mist.store.records import RIGHTS

_HEADINGS = ("ID", "NAME", "USER", "RIGHT", "APPLICATIONS", "EXPIRES", "LAST USED")


@click.group("token")
def command() -> None:
    """Manage the tokens of programs."""
    note_local("mist token", "tokens")


@command.command()
@click.argument("name")
@click.option("--user", "email", metavar="EMAIL", help="Its user (default: the first admin).")
@click.option("--app", "apps", multiple=True, help="Only this application; may be repeated.")
@click.option("--right", type=click.Choice(RIGHTS), help="At most this right.")
@click.option("--expires", metavar="TIME", help="Lifetime, such as 12h, 90d or 4w.")
def add(
    name: str, email: str | None, apps: tuple[str, ...], right: Right | None, expires: str | None
) -> None:
    """Make a token and print it, once.

    It may do what its user may, but no more than --app and --right say.
    """
    with opened_store() as store:
        user = find_user(store, email) if email else _first_admin(store)
        names = tuple(find_app(store, each).name for each in apps) or None
        auth = load_settings().auth
        made = access_tokens.create(store, auth, user, NewToken(name, names, right, expires))
        note_change(store)
        rights = _rights(store, made.token)
    # On standard error, so that the token alone can go into a file or a variable.
    terminal.say(
        f"Added the token {made.token.id} of {user.email} ({rights}), "
        f"{_end(made.token)}. This is the only time that it is shown:",
        error=True,
    )
    terminal.say(made.text)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def show(as_json: bool) -> None:
    """List the tokens."""
    with opened_store() as store:
        emails = {user.id: user.email for user in store.users.all()}
        tokens = [(each, emails.get(each.user_id, "")) for each in store.tokens.all()]
        names = {app.id: app.name for app in store.apps.all()}
    if as_json:
        terminal.write_json([access_tokens.public(each, email) for each, email in tokens])
        return
    terminal.show_table(_HEADINGS, [_row(each, email, names) for each, email in tokens])


@command.command()
@click.argument("token", type=click.IntRange(1, MAX_ID))
def revoke(token: int) -> None:
    """Revoke TOKEN (its number); its open streams end within a minute."""
    with opened_store() as store:
        if not store.tokens.remove(token):
            raise NotFound(f"there is no token {token}; `mist token list` lists them")
        note_change(store)
    terminal.say(f"Revoked the token {token}.")


def _first_admin(store: Store) -> User:
    admin = next((user for user in store.users.all() if user.admin), None)
    if admin is None:
        raise NotFound("there is no admin yet; name a user with --user, or start `mist up` once")
    return admin


def _rights(store: Store, token: AccessToken) -> str:
    if token.apps is None:
        return token.right or "all rights of the user"
    names = [app.name for app in store.apps.all() if app.id in token.apps]
    return f"{token.right} of {', '.join(names)}"


def _end(token: AccessToken) -> str:
    return f"valid until {_short(token.expires_at)}" if token.expires_at else "without an end"


def _row(token: AccessToken, email: str, names: dict[int, str]) -> tuple[str, ...]:
    apps = "all" if token.apps is None else ", ".join(names.get(id_, "-") for id_ in token.apps)
    end = _short(token.expires_at) if token.expires_at else "never"
    if token.expired(clock.now()):
        end = f"{end} (expired)"
    return (
        str(token.id),
        token.name,
        email,
        token.right or "all",
        apps,
        end,
        _short(token.last_used_at) if token.last_used_at else "never",
    )


def _short(timestamp: str | None) -> str:
    return f"{timestamp[:19]}Z" if timestamp else ""
