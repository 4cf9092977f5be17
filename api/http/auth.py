"""Log-in and log-out: ``/api/auth``."""

from __future__ import annotations

import time
from typing import Final

import falcon
import structlog

from api.http.access import COOKIE, Identity, authenticate, check_origin, every_session, services
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from api.http.peer import peer
from mist import clock
from mist.accounts import sessions
from mist.accounts.sessions import Credentials
from mist.accounts.tokens import Token
from mist.errors import LoginRefused

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
        device = next(iter(req.get_cookie_values(DEVICE_COOKIE) or ()), "")
        given = Credentials(body.email, body.password, peer(req).address, device)
        try:
            login = sessions.log_in(with_.store, with_.secret, with_.settings.auth, given)
        except LoginRefused as refusal:
            # For tools such as fail2ban; never with the email address or the password.
            log.warning("login_refused", address=given.address, reason=str(refusal))
            raise
        _set_cookie(req, resp, COOKIE, login.token)
        _set_cookie(req, resp, DEVICE_COOKIE, login.device)
        user = login.user
        req.context.by = user.email
        data = _who(user.id, user.email, user.role, login.token.expires_at)
        reply(resp, data, "Logged in")


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


class MeResource:
    """``/api/auth/me``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the logged-in user."""
        who: Identity = authenticate(req)
        reply(resp, _who(who.user_id, who.email, who.role, who.expires_at))


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


def _who(user_id: int | None, email: str, role: str, expires_at: float) -> dict[str, object]:
    expires = clock.rfc3339(int(expires_at) * 1_000_000_000)
    return {"user_id": user_id, "email": email, "role": role, "expires_at": expires}
