"""Passwords and their hashes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from mist.accounts import passwords
from mist.errors import UsageError
from tests.support.store import PASSWORD, password_hash

_IN_GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent
from mist.accounts import passwords
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)  # 0 would keep the loop busy, and a thread's result waiting
ticker = gevent.spawn(tick)
stored = passwords.make_hash("correct horse")
assert passwords.verify(stored, "correct horse") and not passwords.verify(stored, "wrong")
# A loop that was stopped for each hash would have run once between two of them.
assert ticks > 10, ticks
"""


def test_a_hash_is_argon2id() -> None:
    """And never the same twice, for its salt."""
    assert password_hash().startswith("$argon2id$")
    assert passwords.make_hash(PASSWORD) != password_hash()


def test_the_password_is_verified() -> None:
    """Only the one that was hashed is right."""
    assert passwords.verify(password_hash(), PASSWORD)
    assert not passwords.verify(password_hash(), PASSWORD + " ")
    assert not passwords.verify("no hash at all", PASSWORD)


def test_nobody_has_no_password() -> None:
    """An account that is not there is refused after the same work."""
    assert not passwords.verify(None, PASSWORD)


def test_a_huge_password_is_not_hashed() -> None:
    """Its length is work that a client could make."""
    assert not passwords.verify(password_hash(), "x" * 10_000_000)


@pytest.mark.parametrize("password", ["", "nine.char", "x" * 1025])
def test_a_new_password_has_a_length(password: str) -> None:
    """Too short and too long are refused."""
    with pytest.raises(UsageError, match="10 to 1024 characters"):
        passwords.check(password)


@pytest.mark.parametrize(
    "password",
    ["1234567890", "qwertyuiop", "Password123", "aaaaaaaaaaaa", "iloveyou12", "abcdefghij"],
)
def test_a_common_password_is_refused(password: str) -> None:
    """It is among the first that an attacker tries."""
    with pytest.raises(UsageError, match="too easy to guess"):
        passwords.check(password)


@pytest.mark.parametrize(
    "password", ["four pass words", "x9$kLm2@pq", "ein langes Wort", "é" * 5 + "漢字 und mehr"]
)
def test_other_passwords_pass(password: str) -> None:
    """There are no rules about which characters to use."""
    assert passwords.check(password) == password


def test_a_generated_password_is_good_enough() -> None:
    """It passes the check, and is another each time."""
    assert passwords.check(passwords.generate()) != passwords.generate()


def test_a_weak_hash_is_outdated() -> None:
    """Parameters of yesterday are noticed."""
    assert passwords.outdated(PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD))
    assert not passwords.outdated(password_hash())


def test_hashing_does_not_stop_a_gevent_loop() -> None:
    """In a gunicorn worker the work is done in a thread."""
    subprocess.run([sys.executable, "-c", _IN_GEVENT], check=True, timeout=60)
