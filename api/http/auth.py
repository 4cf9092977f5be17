"""``/api/auth``: log in, log out, who am I."""

from __future__ import annotations

import falcon
import structlog

from api.http.access import COOKIE, Identity, authenticate, check_origin, every_session, services
from api.http.bodies import Body, read
from api.http.envelope import reply
from api.http.peer import peer
from mist import clock
from mist.accounts import sessions
from mist.accounts.sessions import Credentials
from mist.errors import LoginRefused

log = structlog.get_logger(__name__)


class LoginBody(Body, frozen=True):
    """What ``POST /api/auth/login`` takes."""

    email: str
    password: str


class Login:
    """``/api/auth/login``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Begin a session, and set its cookie."""
        check_origin(req)
        body = read(req, LoginBody)
        with_ = services(req)
        given = Credentials(body.email, body.password, peer(req).address)
        try:
            login = sessions.log_in(with_.store, with_.secret, with_.settings.auth, given)
        except LoginRefused as refusal:
            log.warning("login_refused", address=given.address, reason=str(refusal))
            raise
        resp.set_cookie(
            COOKIE,
            login.token.text,
            max_age=int(with_.settings.auth.session_hours * 3600),
            path="/",
            http_only=True,
            same_site="Lax",
            secure=peer(req).scheme == "https",
        )
        user = login.user
        data = _who(user.id, user.email, user.role, login.token.expires_at)
        reply(resp, data, "Logged in")


class Logout:
    """``/api/auth/logout``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the session everywhere, and clear the cookie; no session is fine as well.

        Cookies of the same name may come from several paths.  Ending only the one
        that counts would leave the client logged in by the next.
        """
        check_origin(req)
        identities = every_session(req)
        for identity in identities:
            sessions.log_out(services(req).store, identity)
        message = "Logged out" if identities else "Not logged in"
        resp.unset_cookie(COOKIE, path="/", same_site="Lax")
        reply(resp, None, message)


class Me:
    """``/api/auth/me``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say who is logged in."""
        who: Identity = authenticate(req)
        reply(resp, _who(who.user_id, who.email, who.role, who.expires_at))


def _who(user_id: int | None, email: str, role: str, expires_at: float) -> dict[str, object]:
    expires = clock.rfc3339(int(expires_at) * 1_000_000_000)
    return {"user_id": user_id, "email": email, "role": role, "expires_at": expires}
