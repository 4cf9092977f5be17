"""The types of answers that the resources put together; the others are records of the store."""

from __future__ import annotations

import msgspec

from mist.apps.management import PublicApp
from mist.store import Right, Role


class Me(msgspec.Struct, frozen=True):
    """The signed-in user."""

    user_id: int | None
    """None for an identity of another installation that shares the secret."""
    email: str
    role: Role
    expires_at: str | None
    """None for a token without an end."""
    must_change_password: bool


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


class Application(PublicApp, frozen=True, kw_only=True):
    """An application, and the user's right to it.

    Of ``env`` only the names, because the values may be secret.
    """

    right: Right | None


class Token(msgspec.Struct, frozen=True):
    """A token of a program."""

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


class Hook(msgspec.Struct, frozen=True):
    """The webhook of an application, with its secret, which is not shown again."""

    path: str
    secret: str


class Pushed(msgspec.Struct, frozen=True):
    """What became of a push."""

    deployment_id: int
    replaced: list[int]
    """The deployments that waited, and were cancelled in favour of this one."""


class Readiness(msgspec.Struct, frozen=True):
    """Problems by part of the service; None where there is none."""

    store: str | None
    bus: str | None
    processes: str | msgspec.UnsetType = msgspec.UNSET
