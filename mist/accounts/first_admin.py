"""The administrator of a new installation."""

from __future__ import annotations

from typing import Final

from mist.accounts import passwords
from mist.store import Store

EMAIL: Final = "admin@localhost"


def ensure_admin(store: Store) -> str | None:
    """Make ``admin@localhost`` in a store without users, and return its one-time password.

    None if there is a user already; nobody can read the password again.
    """
    if store.users.all():
        return None
    password = passwords.generate()
    store.users.add(EMAIL, passwords.make_hash(password), "admin")
    return password
