"""Tests of revoked sessions and log-in attempts."""

from __future__ import annotations

import time

import pytest

from mist.store import Store


def test_a_revoked_token_is_remembered_until_it_expires(store: Store) -> None:
    """A revoked token is stored until it expires; revoking it twice is not an error."""
    now = time.time()
    store.sessions.revoke("old", now - 1)
    store.sessions.revoke("new", now + 60)
    store.sessions.revoke("new", now + 60)
    assert store.sessions.revoked(["old", "new", "never"]) == {"new"}


def test_thousands_are_asked_for_at_once(store: Store) -> None:
    """A look-up can have more tokens than one database query takes."""
    store.sessions.revoke("7", time.time() + 60)
    assert store.sessions.revoked(str(number) for number in range(40_000)) == {"7"}


def test_attempts_are_limited_under_each_key(store: Store) -> None:
    """The attempt above the limit has to wait, even if only one of its keys is known."""
    for _ in range(3):
        assert store.sessions.attempt(dict.fromkeys(["ada", "here"], 3), 60).retry_after == 0
    assert 59 < store.sessions.attempt(dict.fromkeys(["ada", "there"], 3), 60).retry_after <= 60
    assert store.sessions.attempt(dict.fromkeys(["bob", "here"], 3), 60).retry_after > 0
    assert store.sessions.attempt(dict.fromkeys(["bob", "there"], 3), 60).retry_after == 0


def test_an_attempt_that_succeeds_is_forgiven(store: Store) -> None:
    """A success clears the account's failures, but not the address's others."""
    for _ in range(2):
        store.sessions.attempt(dict.fromkeys(["ada", "here"], 3), 60)
    last = store.sessions.attempt(dict.fromkeys(["ada", "here"], 3), 60)
    store.sessions.forgive(last, ["ada"])
    assert store.sessions.attempt(dict.fromkeys(["ada", "here"], 3), 60).retry_after == 0
    assert store.sessions.attempt(dict.fromkeys(["ada", "here"], 3), 60).retry_after > 0


def test_attempts_are_forgotten_after_the_window(store: Store) -> None:
    """Attempts outside of the window do not count."""
    store.sessions.attempt(dict.fromkeys(["ada"], 1), 60)
    assert store.sessions.attempt({"ada": 1}, 0.0).retry_after == 0


def test_a_clock_that_is_set_back_prolongs_no_window(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures keep their number, and none of them lasts longer than a window."""
    assert store.sessions.attempt(dict.fromkeys(["ada"], 1), 60).retry_after == 0
    earlier = time.time() - 3_600
    monkeypatch.setattr(time, "time", lambda: earlier)
    assert 59 < store.sessions.attempt(dict.fromkeys(["ada"], 1), 60).retry_after <= 60
    monkeypatch.setattr(time, "time", lambda: earlier + 61)
    assert store.sessions.attempt(dict.fromkeys(["ada"], 1), 60).retry_after == 0
