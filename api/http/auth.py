"""Log-in, log-out and the user's own password: ``/api/auth``."""

from __future__ import annotations

import math
import time
from typing import Final

import falcon
import structlog

from api.http.access import (
    COOKIE,
    Identity,
    authenticate_first,
    check_origin,
    every_session,
    services,
)
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from api.http.peer import peer
from mist import clock
from mist.accounts import sessions
from mist.accounts.sessions import Credentials, NewSession
from mist.accounts.tokens import Token
from mist.errors import LoginRefused, TooManyAttempts

# Left with a browser that has signed in; see :mod:`mist.accounts.devices`.
DEVICE_COOKIE: Final = "mist_device"

log = structlog.get_logger(__name__)


class LoginBody(RequestBody, frozen=True):
    """The body of ``POST /api/auth/login``."""

    email: str
    password: str


class LoginResource:
    """``/api/auth/login``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Start a session and set its cookie."""
        check_origin(req)
        body = read(req, LoginBody)
        with_ = services(req)
        given = _credentials(req, body.email, body.password)
        try:
            login = sessions.log_in(with_.store, with_.secret, with_.settings.auth, given)
        except LoginRefused as refusal:
            # For tools such as fail2ban; never with the email address or the password.
            log.warning("login_refused", address=given.address, reason=str(refusal))
            raise
        _enter(req, resp, login, "Logged in")


class LogoutResource:
    """``/api/auth/logout``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the session everywhere and clear the cookie; succeed without a session, too.

        Cookies of the same name may exist for several paths.  If only the first session
        ended, the next cookie would log the client in again.
        """
        check_origin(req)
        identities = every_session(req)
        for identity in identities:
            req.context.by = identity.email
            sessions.log_out(services(req).store, identity)
        message = "Logged out" if identities else "Not logged in"
        resp.unset_cookie(COOKIE, path="/", same_site="Lax")
        reply(resp, None, message)


class PasswordBody(RequestBody, frozen=True):
    """The body of ``POST /api/auth/password``."""

    old_password: str
    new_password: str


class PasswordResource:
    """``/api/auth/password``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change the user's own password, and end every session but a new one for this client."""
        check_origin(req)
        identity = authenticate_first(req)
        if identity.token is not None:
            raise falcon.HTTPForbidden(
                description="Permission denied: a token cannot change a password; sign in"
            )
        if identity.user_id is None:
            raise falcon.HTTPForbidden(
                description=f"{identity.email} has no account here; change the password where "
                "you signed in"
            )
        body = read(req, PasswordBody)
        with_ = services(req)
        given = _credentials(req, identity.email, body.old_password)
        try:
            login = sessions.change_password(
                with_.store, with_.secret, with_.settings.auth, given, body.new_password
            )
        except TooManyAttempts:
            raise
        except LoginRefused:
            # Not 401, which would tell a page that its session is over.
            log.warning("login_refused", address=given.address, reason="wrong old password")
            raise falcon.HTTPForbidden(description="The old password is wrong") from None
        _enter(req, resp, login, "Password changed")


class MeResource:
    """``/api/auth/me``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the logged-in user."""
        who: Identity = authenticate_first(req)
        reply(resp, _who(who.user_id, who.email, who.role, who.expires_at, who.one_time))


def _credentials(req: falcon.Request, email: str, password: str) -> Credentials:
    device = next(iter(req.get_cookie_values(DEVICE_COOKIE) or ()), "")
    return Credentials(email, password, peer(req).address, device)


def _enter(req: falcon.Request, resp: falcon.Response, login: NewSession, message: str) -> None:
    """Give the client its new session."""
    _set_cookie(req, resp, COOKIE, login.token)
    _set_cookie(req, resp, DEVICE_COOKIE, login.device)
    user = login.user
    req.context.by = user.email
    data = _who(user.id, user.email, user.role, login.token.expires_at, user.one_time)
    reply(resp, data, message)


def _set_cookie(req: falcon.Request, resp: falcon.Response, name: str, token: Token) -> None:
    """Set a cookie that holds the token for as long as it is valid."""
    resp.set_cookie(
        name,
        token.text,
        max_age=int(token.expires_at - time.time()),
        path="/",
        # Strict would hide the session from a link on another site; Lax still withholds the
        # cookie from cross-site POST requests and WebSocket handshakes.
        http_only=True,  # scripts never need the token
        same_site="Lax",
        secure=peer(req).scheme == "https",  # works without TLS on a trial on localhost
    )


def _who(
    user_id: int | None, email: str, role: str, expires_at: float, one_time: bool
) -> dict[str, object]:
    endless = math.isinf(expires_at)  # a token without an end
    return {
        "user_id": user_id,
        "email": email,
        "role": role,
        "expires_at": None if endless else clock.rfc3339(int(expires_at) * 1_000_000_000),
        "must_change_password": one_time,
    }
