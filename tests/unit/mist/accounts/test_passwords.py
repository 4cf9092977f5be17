"""Tests of passwords and their hashes."""

from __future__ import annotations

import subprocess
import sys
import time

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
    """A hash is argon2id with a random salt."""
    assert password_hash().startswith("$argon2id$")
    assert passwords.make_hash(PASSWORD) != password_hash()


def test_the_password_is_verified() -> None:
    """Only the hashed password is accepted."""
    assert passwords.verify(password_hash(), PASSWORD)
    assert not passwords.verify(password_hash(), PASSWORD + " ")
    assert not passwords.verify("no hash at all", PASSWORD)


def test_nobody_has_no_password() -> None:
    """A missing account is refused after the same amount of work."""
    assert not passwords.verify(None, PASSWORD)


def test_a_huge_password_is_not_hashed() -> None:
    """A huge password is refused without hashing, which would cost too much time."""
    assert not passwords.verify(password_hash(), "x" * 10_000_000)


@pytest.mark.parametrize("password", ["", "nine.char", "x" * 1025])
def test_a_new_password_has_a_length(password: str) -> None:
    """A new password that is too short or too long is refused."""
    with pytest.raises(UsageError, match="10 to 1024 characters"):
        passwords.check(password)


@pytest.mark.parametrize(
    "password",
    [
        *("1234567890", "qwertyuiop", "Password123", "aaaaaaaaaaaa", "iloveyou12", "abcdefghij"),
        *("Summer2024!", "Undertaker1!", "Company_2024", "ChangeMe!!"),
        *("p a s s w o r d", "  password  ", "password password", " " * 12),
        *("pässwörd123", "ｐａｓｓｗｏｒｄ１２", "password\u200b123", "pa\u0301ssword123"),
    ],
)
def test_a_common_password_is_refused(password: str) -> None:
    """A common password is refused, because attackers try it first."""
    with pytest.raises(UsageError, match="too easy to guess"):
        passwords.check(password)


@pytest.mark.parametrize(
    "password", ["four pass words", "x9$kLm2@pq", "ein langes Wort", "é" * 5 + "漢字 und mehr"]
)
def test_other_passwords_pass(password: str) -> None:
    """Passwords may contain any characters."""
    assert passwords.check(password) == password


@pytest.mark.parametrize(
    "password",
    ["Ada.Lovelace@Example.com", "ada.lovelace1", "2024-ADA.LOVELACE", "example.com2024"],
)
def test_the_address_of_an_account_is_no_password(password: str) -> None:
    """An address, or a part of it, is worth no guesses."""
    with pytest.raises(UsageError, match="too easy to guess"):
        passwords.check(password, "ada.lovelace@example.com")
    assert passwords.check("eve and bob ride", "eve@example.com")
    with pytest.raises(UsageError, match="too easy to guess"):
        passwords.check("jürgen.müller1", "jürgen.müller@example.de")


def test_a_long_password_takes_no_longer() -> None:
    """Characters that stand for several letters multiply the work with each one that is judged."""
    hard = "4@8({[<369!1|0$5+7%2"

    def seconds(password: str) -> float:
        begun = time.process_time()
        assert passwords.check(password)
        return time.process_time() - begun

    seconds("four pass words")  # reads the word lists
    assert seconds(hard * 50) < 3 * seconds((hard * 2)[:32])


def test_a_password_is_text() -> None:
    """Bytes of a pipe that are not UTF-8 cannot be typed in a browser."""
    with pytest.raises(UsageError, match="not UTF-8 text"):
        passwords.check("four random words \udcff")


def test_a_generated_password_is_good_enough() -> None:
    """Generated passwords are acceptable and differ each time."""
    assert passwords.check(passwords.generate()) != passwords.generate()


def test_a_weak_hash_is_outdated() -> None:
    """A hash with old parameters is recognised as outdated."""
    assert passwords.outdated(PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD))
    assert not passwords.outdated(password_hash())


def test_hashing_does_not_stop_a_gevent_loop() -> None:
    """Hashing does not block a gevent loop, because it runs in a thread."""
    subprocess.run([sys.executable, "-c", _IN_GEVENT], check=True, timeout=60)
