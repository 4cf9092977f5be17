"""Tests of accounts in the store."""

from __future__ import annotations

import time

import pytest

from mist.errors import AlreadyExists
from mist.store import Store


def test_addresses_are_compared_in_lower_case(store: Store) -> None:
    """Addresses are compared in lower case."""
    added = store.users.add("Ada@Example.com", "hash")
    assert added.email == "ada@example.com"
    assert store.users.by_email("ADA@example.COM") == added == store.users.get(added.id)


def test_an_address_has_one_account(store: Store) -> None:
    """A second account with the same address is refused, and the error names the address."""
    store.users.add("ada@example.com", "hash")
    with pytest.raises(AlreadyExists, match=r"user ada@example\.com already"):
        store.users.add("ADA@example.com", "hash")


def test_nobody_is_none(store: Store) -> None:
    """A missing account is None."""
    assert store.users.get(1) is None
    assert store.users.by_email("a@b.c") is None
    assert store.users.credentials("a@b.c") is None


def test_a_new_password_ends_sessions(store: Store) -> None:
    """A new password ends the sessions that started before it."""
    user = store.users.add("ada@example.com", "old")
    before = time.time()
    store.users.set_password(user.id, "new")
    found = store.users.credentials(user.email)
    assert found is not None
    assert found.password_hash == "new"
    assert before <= found.user.sessions_after <= time.time()
    assert store.sessions.sessions_after([user.id, 99]) == {user.id: found.user.sessions_after}


def test_a_stronger_hash_ends_no_session(store: Store) -> None:
    """A stronger hash ends no session, and replaces only the hash it was made from."""
    user = store.users.add("ada@example.com", "old")
    store.users.replace_hash(user.id, "other", "wrong")
    store.users.replace_hash(user.id, "old", "stronger")
    found = store.users.credentials(user.email)
    assert found is not None
    assert found.password_hash == "stronger"
    assert found.user.sessions_after == 0.0
