"""Authentication and authorization, shared by HTTP and WebSocket routes."""

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

# Each cookie costs a signature and a query.  Two paths may have set one each.
_COOKIES: Final = 2

_PORTS: Final = {"http": 80, "https": 443}


def services(req: falcon.Request) -> Services:
    """Return the application's services, which a middleware attaches to every request."""
    found: Services = req.context.services  # Falcon's context has no types
    return found


def authenticate(req: falcon.Request) -> Identity:
    """Return the identity behind the session cookie; raise HTTPUnauthorized without one.

    A browser may send several cookies of this name, one for each path they were set on;
    the first valid one counts.
    """
    reason = "Not logged in"
    for token in _session_cookies(req):
        try:
            identity = sessions.identify(services(req).store, services(req).secret, token)
        except NotLoggedIn as error:
            reason = str(error)
        else:
            req.context.by = identity.email  # for the record of changes
            return identity
    raise falcon.HTTPUnauthorized(description=reason)


def every_session(req: falcon.Request) -> list[Identity]:
    """Return the identity of every valid session cookie; the one that counts comes first."""
    found = []
    for token in _session_cookies(req):
        with suppress(NotLoggedIn):
            found.append(sessions.identify(services(req).store, services(req).secret, token))
    return found


def _session_cookies(req: falcon.Request) -> list[str]:
    found = [token for token in req.get_cookie_values(COOKIE) or [] if token]
    return found[:_COOKIES]


def check_origin(req: falcon.Request) -> None:
    """Raise HTTPForbidden for a request from another origin's page (RFC 6454 §7).

    Browsers send the header with every cross-origin POST request and WebSocket handshake;
    other programs may omit it.
    """
    origin = req.get_header("Origin")
    if origin is None or origin in services(req).settings.server.allowed_origins:
        return
    own = f"{peer(req).scheme}://{req.get_header('Host') or ''}"
    parsed = _origin(origin)
    # Compared by parts, because ports may be implicit.
    if parsed is None or parsed != _origin(own):
        raise falcon.HTTPForbidden(
            description=f"Origin {origin[:200]!r} is not allowed; add it to server.allowed_origins"
        )


def require_admin(req: falcon.Request) -> Identity:
    """Return the identity if it is an admin; otherwise raise HTTPForbidden."""
    identity = authenticate(req)
    if not identity.admin:
        raise falcon.HTTPForbidden(description="Permission denied: only an admin may do this")
    return identity


def require_app(req: falcon.Request, identity: Identity, app_id: int | None) -> App:
    """Return the application if ``identity`` may see it.

    Only an admin learns that an application does not exist; other users get the same
    answer as for an application that is not theirs.
    """
    store = services(req).store
    app = store.apps.get(app_id) if app_id is not None else None
    if app is not None and store.apps.allowed(app.id, identity):
        return app
    if identity.admin:
        raise falcon.HTTPNotFound(description="Application not found")
    raise falcon.HTTPForbidden(description="Permission denied")


def still_valid(store: Store, identities: Iterable[Identity]) -> set[Identity]:
    """Return those of ``identities`` whose session is valid; two queries per 500 of them."""
    everybody = set(identities)
    return everybody - sessions.ended(store, everybody)


def _origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None for ``null`` and malformed ones."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    # An origin has no user (RFC 6454 §7.1).
    if not parts.hostname or port is None or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port
