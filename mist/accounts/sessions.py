"""Identify the user behind a token, and check whether the session is still valid."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from mist import clock, emails
from mist.accounts import access_tokens, devices, passwords, tokens
from mist.accounts.tokens import Claims, Token
from mist.errors import LoginRefused, NotLoggedIn, TooManyAttempts, UsageError
from mist.ids import MAX_ID
from mist.networks import network_of
from mist.settings import AuthSettings
from mist.store import NO_LIMITS, Limits, Store, User

# The roles of a Mist installation that may do everything.
_ADMINS = frozenset({"admin", "owner"})


class Identity(msgspec.Struct, frozen=True):
    """The identity behind a valid session.

    ``user_id`` is None if the token was signed with a shared secret and names no account
    here; such a user has the role ``user`` whatever the token says.  ``session`` is the
    digest that identifies the session.  ``generation`` is the account's when the session
    began, None for tokens of other issuers.  Times are seconds since the epoch.

    ``token`` is the id of a program's token, whose ``limits`` take rights away; such an
    identity has no session.  With ``one_time`` the user signed in with a password that has
    to be replaced first.
    """

    user_id: int | None
    email: str
    role: str
    session: str
    issued_at: float
    expires_at: float
    generation: float | None = None
    token: int | None = None
    limits: Limits = NO_LIMITS
    one_time: bool = False

    @property
    def admin(self) -> bool:
        """Return True if the user may do everything."""
        return self.all_apps and not self.limits

    @property
    def all_apps(self) -> bool:
        """Return True if the account is an admin's, to which every application is open."""
        return self.role in _ADMINS


class Credentials(NamedTuple):
    """An email address, a password, the network address of the client, and its device token.

    The device token is what an earlier log-in left with the client, or an empty string.
    """

    email: str
    password: str
    address: str
    device: str = ""


class NewSession(NamedTuple):
    """The result of a successful log-in."""

    user: User
    token: Token
    device: Token


def identify(store: Store, secret: bytes, token: str) -> Identity:
    """Return the identity behind ``token``.

    Raise NotLoggedIn if the token is invalid, expired, revoked, or older than the
    account or its password.
    """
    claims = tokens.decode(secret, token)
    user = _user(store, claims)
    # A token without ``iat`` counts as older than every password change.
    issued_at = claims.iat or 0.0
    own = claims.issued_by(store.installation)
    identity = Identity(
        user_id=user.id if user else None,
        email=user.email if user else claims.email,
        role=user.role if user else "user",
        session=claims.session(token, store.installation),
        issued_at=issued_at,
        expires_at=claims.exp,
        generation=claims.generation if own else None,
        # An issuer that shares the secret has checked a password of its own.
        one_time=own and user is not None and user.one_time,
    )
    outlived = user is not None and (
        _outlived(identity, user.sessions_after) or _predates(claims, user)
    )
    if outlived or store.sessions.is_revoked(identity.session):
        raise NotLoggedIn("Session expired")
    return identity


def identify_token(store: Store, auth: AuthSettings, text: str) -> Identity:
    """Return the identity behind the token of a program; raise NotLoggedIn with the reason."""
    token, user, digest = access_tokens.identify(store, auth, text)
    expires = math.inf
    if token.expires_at is not None:
        expires = clock.nanoseconds(token.expires_at) / 1e9
    return Identity(
        user_id=user.id,
        email=user.email,
        role=user.role,
        session=digest,
        issued_at=clock.nanoseconds(token.created_at) / 1e9,
        expires_at=expires,
        token=token.id,
        limits=token.limits,
    )


def identify_proxied(store: Store, auth: AuthSettings, email: str) -> Identity:
    """Return the identity of a user whom a trusted proxy has signed in.

    Raise NotLoggedIn without an account.  Streams end after ``auth.session_hours``, because
    only a new request shows that the proxy still knows the user.
    """
    user = store.users.by_email(email)
    if user is None:
        raise NotLoggedIn(
            f"There is no account {email[:80]!r} here; an admin can add it (`mist user add`)"
        )
    now = time.time()
    return Identity(
        user_id=user.id,
        email=user.email,
        role=user.role,
        session=f"proxy:{user.id}",
        issued_at=now,
        expires_at=now + auth.session_hours * 3_600,
    )


def ended(store: Store, identities: Iterable[Identity]) -> set[Identity]:
    """Return those of ``identities`` whose session has ended, or whose token was revoked.

    Runs three queries for every 500 identities.
    """
    everybody = set(identities)
    now = time.time()
    valid = store.tokens.valid(each.token for each in everybody if each.token is not None)
    revoked = store.sessions.revoked(each.session for each in everybody)
    after = store.sessions.sessions_after(
        each.user_id for each in everybody if each.user_id is not None
    )

    def is_over(each: Identity) -> bool:
        if each.token is not None:
            return each.token not in valid
        if each.expires_at <= now or each.session in revoked:
            return True
        # A deleted user has no entry, so every session of that user has ended.
        return each.user_id is not None and _outlived(each, after.get(each.user_id, math.inf))

    return {each for each in everybody if is_over(each)}


def log_in(store: Store, secret: bytes, auth: AuthSettings, given: Credentials) -> NewSession:
    """Start a session; raise LoginRefused or TooManyAttempts.

    Attempts are limited per network address, and per account over all addresses.  A
    device that has signed in to the account before has a limit of its own instead, so
    that nobody can lock the owner out by failing from many addresses.
    """
    email = emails.canonical(given.email)
    device = devices.recognise(secret, given.device, email)
    if device is None:
        limits = {
            f"address:{network_of(given.address)}": auth.login_attempts,
            f"email:{email[:254]}": auth.login_account_attempts,  # the column's limit
        }
    else:
        limits = {f"device:{device}": auth.login_attempts}
    attempt = store.sessions.attempt(limits, auth.login_window_seconds)
    if attempt.retry_after:
        raise TooManyAttempts(math.ceil(attempt.retry_after))  # Retry-After takes whole seconds
    user = _verified(store, given)
    if user is None:
        raise LoginRefused
    # Failures of the address and of the account stay: an attacker who has an account must
    # not reset the former, nor the owner's log-in the latter for an attacker.
    store.sessions.forgive(attempt, [] if device is None else [f"device:{device}"])
    token = tokens.issue(secret, store.installation, user, auth.session_hours)
    return NewSession(user, token, devices.issue(secret, email, auth.device_days))


def change_password(
    store: Store, secret: bytes, auth: AuthSettings, given: Credentials, new: str
) -> NewSession:
    """Replace the user's own password, end all sessions, and start a new one.

    ``given`` has the old password, and its attempts are limited as those of a log-in are.
    Raise UsageError if the new password is no better than the old one.
    """
    passwords.check(new, given.email)
    if new == given.password:
        raise UsageError("the new password is the old one; choose another")
    session = log_in(store, secret, auth, given)
    store.users.set_password(session.user.id, passwords.make_hash(new))
    user = store.users.get(session.user.id)
    if user is None:
        raise NotLoggedIn("Session expired")  # the account was removed meanwhile
    token = tokens.issue(secret, store.installation, user, auth.session_hours)
    return NewSession(user, token, session.device)


def _verified(store: Store, given: Credentials) -> User | None:
    """Return the user if the password matches, upgrading a hash with outdated parameters."""
    found = store.users.credentials(given.email)
    # Verify even without an account: a missing one must take as long as a wrong password.
    stored = found.password_hash if found else None
    if not passwords.verify(stored, given.password) or found is None:
        return None
    if passwords.outdated(found.password_hash):
        renewed = passwords.make_hash(given.password)
        store.users.replace_hash(found.user.id, found.password_hash, renewed)
    return found.user


def log_out(store: Store, identity: Identity) -> None:
    """End the session of ``identity`` in every web worker."""
    store.sessions.revoke(identity.session, identity.expires_at)


def _user(store: Store, claims: Claims) -> User | None:
    """Return the account that the claims refer to, or None for a user without one here.

    A ``user_id`` is only valid in the installation that issued it.  Users of other
    installations are matched by email address.
    """
    if not claims.issued_by(store.installation):
        found = store.users.by_email(claims.email)
        if found is None and claims.of_this_program:
            raise NotLoggedIn(f"There is no account {claims.email[:80]!r} here")
        return found
    number = claims.user_id
    # Every holder of the shared secret can issue such a token, so check type and range.
    if isinstance(number, int) and 0 < number <= MAX_ID:
        user = store.users.get(number)
        if user is not None:
            return user
    raise NotLoggedIn("Session expired")


def _outlived(identity: Identity, sessions_after: float) -> bool:
    """Return True if the account's sessions were ended after this one began.

    Our own tokens name the generation of the account's sessions, so the order does not
    depend on a clock that may have been set back in between.
    """
    if identity.generation is not None:
        return identity.generation != sessions_after
    return identity.issued_at < sessions_after


def _predates(claims: Claims, user: User) -> bool:
    """Return True if the session began before the account was created.

    A deleted account's email address may have been given to another person.  Compare whole
    seconds, because other issuers round ``iat`` down.  A token without ``iat``, which a
    Mist installation may issue, passes.
    """
    return claims.iat is not None and not claims.iat >= tokens.created_at(user)
