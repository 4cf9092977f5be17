"""Tests of ``mist token``, of rights in ``mist app``, and of one-time passwords."""

from __future__ import annotations

import json

import pytest

from mist.accounts import access_tokens
from mist.settings import AuthSettings
from mist.store import Store
from tests.unit.cli.test_user_and_app import Run, home, run, store

__all__ = ["home", "run", "store"]

AUTH = AuthSettings()


@pytest.fixture(autouse=True)
def accounts(run: Run) -> None:
    """An admin, a user and two applications."""
    for email, *flags in (("ada@example.com", "--admin"), ("bob@example.com",)):
        run("user", "add", email, *flags, "--password-stdin", stdin="four pass words\n")
    for name in ("web", "api"):
        run("app", "add", name)


def test_a_token_is_printed_alone(run: Run, store: Store) -> None:
    """Standard output has nothing but the token, which acts for the first admin."""
    done = run("token", "add", "ci")
    assert done.status == 0
    holder = access_tokens.identify(store, AUTH, done.out.strip())
    assert holder.user.email == "ada@example.com"
    assert not holder.token.limits
    assert "only time" in done.err
    assert done.out.strip() not in done.err


def test_limits_are_listed(run: Run, store: Store) -> None:
    """The table and its JSON show the user, the right, the applications and the end."""
    options = ("--user", "bob@example.com", "--app", "web", "--app", "2", "--expires", "90d")
    refused = run("token", "add", "ci", *options)
    assert refused.status == 64
    assert "no application 'web' that bob@example.com may see" in refused.err
    for app in ("web", "api"):
        run("app", "grant", app, "bob@example.com", "--right", "viewer")
    made = run("token", "add", "ci", *options)
    assert "deployer of web, api" in made.err
    (token,) = json.loads(run("token", "list", "--json").out)
    assert (token["user"], token["right"], token["apps"]) == ("bob@example.com", "deployer", [1, 2])
    assert token["expires_at"] > token["created_at"]
    # Never more than its user.
    identity = access_tokens.identify(store, AUTH, made.out.strip())
    assert store.apps.right(1, identity.user) == "viewer"
    table = run("token", "list").out
    assert made.out.strip() not in table
    assert "bob@" in table


def test_revoking(run: Run) -> None:
    """A revoked token is gone; another number is an error."""
    run("token", "add", "ci")
    assert run("token", "revoke", "1").out == "Revoked the token 1.\n"
    assert run("token", "revoke", "1").status == 64
    assert json.loads(run("token", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ci", "--user", "eve@example.com"], 64, "no user 'eve@example.com'"),
        (["ci", "--app", "none"], 64, "no application 'none'"),
        (["ci", "--expires", "soon"], 64, "not 'soon'"),
        (["ci", "--right", "owner"], 2, "owner"),
        ([""], 64, "not a name for a token"),
    ],
)
def test_wrong_arguments(run: Run, arguments: list[str], status: int, words: str) -> None:
    """The error names the value, and no token is made."""
    done = run("token", "add", *arguments)
    assert (done.status, words in done.err) == (status, True), done.err
    assert json.loads(run("token", "list", "--json").out) == []


def test_a_grant_has_a_right(run: Run, store: Store) -> None:
    """A grant without a word is a deployer's, and a new grant replaces it."""
    bob = store.users.by_email("bob@example.com")
    assert bob is not None
    assert run("app", "grant", "web", bob.email).out.endswith("may now see and deploy web.\n")
    assert store.apps.right(1, bob) == "deployer"
    assert run("app", "grant", "web", bob.email, "--right", "viewer").out.endswith("see web.\n")
    assert store.apps.right(1, bob) == "viewer"
    admin = run("app", "grant", "web", "ada@example.com", "--right", "viewer").out
    assert "may also deploy it, as an admin" in admin


def test_a_password_that_was_made_up_is_one_time(run: Run, store: Store) -> None:
    """One from standard input is not, so `mist user passwd` also replaces the first one."""
    run("user", "add", "eve@example.com")
    eve = store.users.by_email("eve@example.com")
    assert eve is not None
    assert eve.one_time
    run("user", "passwd", eve.email, "--password-stdin", stdin="four pass words\n")
    eve = store.users.by_email("eve@example.com")
    assert eve is not None
    assert not eve.one_time
