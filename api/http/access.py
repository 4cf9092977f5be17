"""Who asks, from where, and whether they may: the same for HTTP and WebSocket routes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import falcon

from api.http.peer import peer
from api.services import Services
from mist.accounts import sessions
from mist.accounts.sessions import Identity
from mist.errors import NotLoggedIn
from mist.store import App, Store

__all__ = [
    "COOKIE",
    "Identity",
    "authenticate",
    "check_origin",
    "every_session",
    "require_admin",
    "require_app",
    "services",
    "still_valid",
]

COOKIE: Final = "mist_token"

_PORTS: Final = {"http": 80, "https": 443}


def services(req: falcon.Request) -> Services:
    """What the application works with; a middleware hangs it on every request."""
    found: Services = req.context.services
    return found


def authenticate(req: falcon.Request) -> Identity:
    """Who bears the session cookie; HTTPUnauthorized without a valid one.

    Several cookies of the name can be there, one for each path they were set
    for; the first that is valid counts.
    """
    reason = "Not logged in"
    for token in _session_cookies(req):
        try:
            return sessions.identify(services(req).store, services(req).secret, token)
        except NotLoggedIn as error:
            reason = str(error)
    raise falcon.HTTPUnauthorized(description=reason)


def every_session(req: falcon.Request) -> list[Identity]:
    """Return the session of each valid session cookie, the one that counts first."""
    found = []
    for token in _session_cookies(req):
        with suppress(NotLoggedIn):
            found.append(sessions.identify(services(req).store, services(req).secret, token))
    return found


def _session_cookies(req: falcon.Request) -> list[str]:
    return [token for token in req.get_cookie_values(COOKIE) or [] if token]


def check_origin(req: falcon.Request) -> None:
    """HTTPForbidden if a page of another origin asks (RFC 6454 §7); without Origin none does."""
    origin = req.get_header("Origin")
    if origin is None or origin in services(req).settings.server.allowed_origins:
        return
    own = f"{peer(req).scheme}://{req.get_header('Host') or ''}"
    parsed = _origin(origin)
    if parsed is None or parsed != _origin(own):
        raise falcon.HTTPForbidden(
            description=f"Origin {origin[:200]!r} is not allowed; add it to server.allowed_origins"
        )


def require_admin(req: falcon.Request) -> Identity:
    """Who asks, if it is an admin; HTTPForbidden otherwise."""
    identity = authenticate(req)
    if not identity.admin:
        raise falcon.HTTPForbidden(description="Permission denied: only an admin may do this")
    return identity


def require_app(req: falcon.Request, identity: Identity, app_id: int | None) -> App:
    """The application, if ``identity`` may see it.

    Only an admin learns that there is none; others cannot tell that from one
    that is not theirs.
    """
    store = services(req).store
    app = store.apps.get(app_id) if app_id is not None else None
    if app is not None and store.apps.allowed(app.id, identity):
        return app
    if identity.admin:
        raise falcon.HTTPNotFound(description="Application not found")
    raise falcon.HTTPForbidden(description="Permission denied")


def still_valid(store: Store, identities: Iterable[Identity]) -> set[Identity]:
    """Those of ``identities`` whose session goes on; two queries for some hundreds of them."""
    everybody = set(identities)
    return everybody - sessions.ended(store, everybody)


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None for ``null`` and what is none."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port
