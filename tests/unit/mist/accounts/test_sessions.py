"""Tests of logging in and out, and of what ends a session."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from mist.accounts import devices, sessions, tokens
from mist.accounts.first_admin import EMAIL, ensure_admin
from mist.accounts.sessions import Credentials, Identity, NewSession
from mist.errors import LoginRefused, NotLoggedIn, TooManyAttempts
from mist.settings import AuthSettings
from mist.store import Store
from tests.support.store import PASSWORD, add_user, password_hash

SECRET = b"s" * 32
ADA = "ada@example.com"


def _log_in(
    store: Store,
    email: str = ADA,
    password: str = PASSWORD,
    address: str = "192.0.2.1",
    limit: int = 3,
    device: str = "",
) -> NewSession:
    auth = AuthSettings(login_attempts=limit, login_account_attempts=2 * limit)
    return sessions.log_in(store, SECRET, auth, Credentials(email, password, address, device))


def _identify(store: Store, token: str) -> Identity:
    return sessions.identify(store, SECRET, token)


def _foreign(**claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 60, **claims}, SECRET, "HS256")


def test_a_session_says_who(store: Store) -> None:
    """A session identifies its user; e-mail addresses are compared in lower case."""
    user = add_user(store, ADA, "admin")
    login = _log_in(store, "Ada@Example.COM")
    who = _identify(store, login.token.text)
    assert (who.user_id, who.email, who.admin) == (user.id, ADA, True)
    assert who.expires_at == login.token.expires_at


@pytest.mark.parametrize(("email", "password"), [(ADA, "wrong"), ("bob@example.com", PASSWORD)])
def test_a_refusal_does_not_say_why(store: Store, email: str, password: str) -> None:
    """A refused log-in does not reveal whether the account exists."""
    add_user(store, ADA)
    with pytest.raises(LoginRefused, match=r"^Wrong email address or password$"):
        _log_in(store, email, password)


def test_failures_of_an_account_are_limited(store: Store) -> None:
    """Failures of an account are limited whatever their origin; the right password waits too."""
    add_user(store, ADA)
    for number in range(6):
        with pytest.raises(LoginRefused):
            _log_in(store, password="wrong", address=f"192.0.2.{number}")
    with pytest.raises(TooManyAttempts) as caught:
        _log_in(store, address="192.0.2.9")
    assert 290 < caught.value.retry_after <= 300


def test_a_device_that_signed_in_before_is_not_locked_out(store: Store) -> None:
    """Neither by failures of the account nor by those of its network; it has its own limit."""
    add_user(store, ADA)
    device = _log_in(store).device.text
    for number in range(6):
        with pytest.raises(LoginRefused):
            _log_in(store, password="wrong", address=f"192.0.2.{number % 2}")
    with pytest.raises(TooManyAttempts):
        _log_in(store)
    assert _log_in(store, device=device)
    for _ in range(3):
        with pytest.raises(LoginRefused):
            _log_in(store, password="wrong", device=device)
    with pytest.raises(TooManyAttempts):
        _log_in(store, device=device)


@pytest.mark.parametrize("of", ["another account", "another secret", "a session", "nothing"])
def test_only_a_device_of_the_account_counts(store: Store, of: str) -> None:
    """Nobody makes a device, and a device of one account is none of another."""
    add_user(store, ADA)
    add_user(store, "eve@example.com")
    device = {
        "another account": _log_in(store, "eve@example.com").device.text,
        "another secret": devices.issue(b"t" * 32, ADA, 1).text,
        "a session": _log_in(store, address="198.51.100.1").token.text,
        "nothing": "x" * 2_000,
    }[of]
    for _ in range(3):
        with pytest.raises(LoginRefused):
            _log_in(store, password="wrong", address="203.0.113.1", device=device)
    with pytest.raises(TooManyAttempts):
        _log_in(store, address="203.0.113.1", device=device)


def test_a_device_is_no_session(store: Store) -> None:
    """It opens nothing."""
    add_user(store, ADA)
    with pytest.raises(NotLoggedIn):
        _identify(store, _log_in(store).device.text)


@pytest.mark.parametrize("step", [-3_600.0, 0.0, 3_600.0])
def test_a_new_password_ends_sessions_whatever_the_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """A session that began "in the future" ends too, and the next one is valid."""
    user = add_user(store, ADA)
    before = _log_in(store).token.text
    who = _identify(store, before)
    now = time.time() + step
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(2):  # the second change happens at the same moment as the first
        store.users.set_password(user.id, password_hash())
        with pytest.raises(NotLoggedIn):
            _identify(store, before)
        assert sessions.ended(store, [who]) == {who}
        before = _log_in(store, limit=100).token.text
        who = _identify(store, before)
        assert not sessions.ended(store, [who])


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::2"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_failures_of_an_address_are_limited(store: Store, first: str, last: str) -> None:
    """Failures of an address are limited across accounts; an IPv6 /64 counts as one address."""
    add_user(store, ADA)
    for number in range(3):
        with pytest.raises(LoginRefused):
            _log_in(store, f"user{number}@example.com", address=first)
    with pytest.raises(TooManyAttempts):
        _log_in(store, address=last)
    _log_in(store, address="198.51.100.1")
    _log_in(store, address="::ffff:198.51.100.2")


def test_a_success_is_no_failure(store: Store) -> None:
    """It does not count against anybody, but failures of the address stay."""
    add_user(store, ADA)
    for _ in range(8):
        _log_in(store)
    for _ in range(3):
        _log_in(store)
        with pytest.raises(LoginRefused):
            _log_in(store, password="wrong")
    with pytest.raises(TooManyAttempts):
        _log_in(store)


def test_a_weak_hash_is_replaced(store: Store) -> None:
    """A log-in replaces an outdated hash, because the password is known then."""
    user = store.users.add(ADA, PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD))
    _log_in(store)
    found = store.users.credentials(user.email)
    assert found is not None
    assert "m=65536" in found.password_hash


def test_logging_out_ends_this_session_alone(store: Store) -> None:
    """Logging out ends one session; the user's other sessions stay."""
    add_user(store, ADA)
    first, second = _log_in(store).token.text, _log_in(store).token.text
    sessions.log_out(store, _identify(store, first))
    with pytest.raises(NotLoggedIn, match="Session expired"):
        _identify(store, first)
    assert _identify(store, second)


def test_a_new_password_ends_every_session(store: Store) -> None:
    """A new password ends every session; one that starts later in the same second is valid."""
    user = add_user(store, ADA)
    before = _log_in(store).token.text
    store.users.set_password(user.id, password_hash())
    with pytest.raises(NotLoggedIn, match="Session expired"):
        _identify(store, before)
    assert _identify(store, _log_in(store).token.text)


def test_ended_names_the_sessions_that_are_over(store: Store) -> None:
    """A session ends by log-out, by expiry, or by its user's new password or deletion."""
    add_user(store, ADA)
    bob = add_user(store, "bob@example.com")
    going, out = (_identify(store, _log_in(store).token.text) for _ in range(2))
    older = _identify(store, _log_in(store, "bob@example.com").token.text)
    stranger = _identify(store, _foreign(email="eve@example.com", role="user"))
    sessions.log_out(store, out)
    store.users.set_password(bob.id, password_hash())
    expired = Identity(going.user_id, ADA, "user", "digest", time.time(), time.time() - 1)
    gone = Identity(99, ADA, "user", "digest", time.time(), time.time() + 60)
    everybody = [going, out, older, stranger, expired, gone]
    assert sessions.ended(store, everybody) == {out, older, expired, gone}


def test_a_token_of_ours_is_of_a_user_who_is_there(store: Store) -> None:
    """A token is refused if the store, which may be a new one, does not have its user."""
    user = add_user(store, ADA)
    token = tokens.issue(SECRET, store.installation, user, 1.0).text
    claims = jwt.decode(token, SECRET, ["HS256"])
    for user_id in (99, "7", None, 2**80):
        with pytest.raises(NotLoggedIn):
            _identify(store, jwt.encode({**claims, "user_id": user_id}, SECRET, "HS256"))


def test_a_login_of_a_mist_installation_works_here(store: Store) -> None:
    """A token of a Mist installation finds its user by e-mail address; role and id are ours."""
    user = add_user(store, ADA)
    who = _identify(store, _foreign(user_id=1000, email=ADA, role="owner"))
    assert (who.user_id, who.email, who.admin) == (user.id, ADA, False)


@pytest.mark.parametrize("address", ["\u212aate@example.com", "\uff4bate@example.com"])
def test_an_address_that_looks_like_anothers(store: Store, address: str) -> None:
    """An address with the Kelvin sign does not match Kate's, although its lower case is k."""
    add_user(store, "kate@example.com", "admin")
    who = _identify(store, _foreign(email=address, role="owner"))
    assert (who.user_id, who.admin) == (None, False)
    with pytest.raises(LoginRefused):
        _log_in(store, address)


@pytest.mark.parametrize("role", ["owner", "admin", "user", "Admin", ""])
def test_a_stranger_has_no_rights(store: Store, role: str) -> None:
    """A token for a user without an account here grants nothing, whatever role it claims."""
    store.apps.add("web")
    who = _identify(store, _foreign(user_id=1, email="eve@example.com", role=role))
    assert (who.user_id, who.admin, who.role) == (None, False, "user")
    assert store.apps.visible_to(who) == []


@pytest.mark.parametrize("installation", ["e" * 32, None, 7, ""])
def test_ids_of_another_installation_mean_nothing_here(store: Store, installation: object) -> None:
    """User 1 of another installation with the same secret is not our administrator."""
    admin = add_user(store, EMAIL, "admin")
    ours = {"user_id": admin.id, "iss": "mist", "role": "admin", "iat": time.time()}
    theirs = _foreign(email="mallory@example.com", installation=installation, **ours)
    with pytest.raises(NotLoggedIn, match=r"no account 'mallory@example\.com' here"):
        _identify(store, theirs)
    user = add_user(store, "mallory@example.com")
    who = _identify(store, theirs)
    assert (who.user_id, who.admin) == (user.id, False)


def test_a_session_of_the_version_before_goes_on(store: Store) -> None:
    """A token of the previous version names no installation; the address finds its user."""
    user = add_user(store, ADA, "admin")
    now = time.time()
    token = _foreign(user_id=user.id, email=ADA, role="admin", iss="mist", iat=now, jti="0f")
    who = _identify(store, token)
    assert (who.user_id, who.admin) == (user.id, True)


def test_what_was_revoked_before_stays_revoked(store: Store) -> None:
    """Tokens that the previous version revoked by their text stay revoked."""
    user = add_user(store, ADA)
    now = time.time()
    token = _foreign(user_id=user.id, email=ADA, role="user", iss="mist", iat=now, jti="0f")
    store.sessions.revoke(tokens.digest(token), now + 60)
    with pytest.raises(NotLoggedIn, match="Session expired"):
        _identify(store, token)


def test_a_session_is_not_older_than_its_account(store: Store) -> None:
    """A token older than the account is refused: the address may have been another user's."""
    user = add_user(store, ADA)
    born = int(time.time())
    for iat in (born - 1, born - 86_400.5, 0):
        with pytest.raises(NotLoggedIn, match="Session expired"):
            _identify(store, _foreign(email=ADA, role="user", iat=iat))
    assert _identify(store, _foreign(email=ADA, role="user", iat=born)).user_id == user.id


def test_nobody_logs_another_installations_session_out(store: Store) -> None:
    """A foreign token with a chosen jti cannot revoke another user's session."""
    add_user(store, ADA)
    token = _log_in(store).token.text
    jti = jwt.decode(token, SECRET, ["HS256"])["jti"]
    alike = _foreign(email=ADA, role="user", iss="mist", iat=time.time(), jti=jti)
    sessions.log_out(store, _identify(store, alike))
    assert _identify(store, token)


def test_a_new_password_ends_foreign_sessions_too(store: Store) -> None:
    """A new password ends foreign sessions; a token without a start time counts as old."""
    user = add_user(store, ADA)
    token = _foreign(email=ADA, role="user")
    store.users.set_password(user.id, password_hash())
    with pytest.raises(NotLoggedIn):
        _identify(store, token)


def test_the_first_admin_is_made_once(store: Store) -> None:
    """The first admin is created once, with a one-time password; later starts create none."""
    password = ensure_admin(store)
    assert password is not None
    assert _log_in(store, EMAIL, password).user.admin
    assert ensure_admin(store) is None


def test_a_clock_that_is_set_back_refuses_no_session(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session is as new as the account and the password that it was begun with."""
    user = add_user(store, ADA)
    store.users.set_password(user.id, password_hash())
    earlier = time.time() - 3_600
    monkeypatch.setattr(time, "time", lambda: earlier)
    token = _log_in(store).token
    assert _identify(store, token.text).user_id == user.id
