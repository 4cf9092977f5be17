"""The administrator of a new installation."""

from __future__ import annotations

from typing import Final

from mist.accounts import passwords
from mist.store import Store

EMAIL: Final = "admin@localhost"  # a valid address on every host


def ensure_admin(store: Store) -> str | None:
    """Create ``admin@localhost`` in a store without users and return its one-time password.

    Return None if there already is a user.  Only a hash is stored, so the password
    cannot be shown again.  It must be replaced at the first sign-in.
    """
    if store.users.all():
        return None
    password = passwords.generate()
    store.users.add(EMAIL, passwords.make_hash(password), "admin", one_time=True)
    return password
