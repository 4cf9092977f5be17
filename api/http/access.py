"""Authentication and authorization, shared by HTTP and WebSocket routes.

A browser has the cookie of its session, a program a token in the ``Authorization`` header.
A request with a token never falls back on the cookie, so a page of another origin gains
nothing by sending one.
"""

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
from mist.networks import is_trusted
from mist.store import App, Right, Store, covers

__all__ = [
    "COOKIE",
    "Identity",
    "authenticate",
    "authenticate_first",
    "check_origin",
    "every_session",
    "require_admin",
    "require_app",
    "require_right",
    "require_unlimited",
    "services",
    "still_permitted",
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
    """Return the identity behind the token or the session cookie.

    Raise HTTPUnauthorized without one, and HTTPForbidden while the user has to replace a
    one-time password.
    """
    identity = authenticate_first(req)
    if identity.one_time:
        raise falcon.HTTPForbidden(
            description="You signed in with a one-time password; choose your own first "
            "(POST /api/auth/password, or `mist user passwd` on the server)"
        )
    return identity


def authenticate_first(req: falcon.Request) -> Identity:
    """Return the identity, whose password may be a one-time password.

    A browser may send several cookies of this name, one for each path they were set on;
    the first valid one counts.
    """
    identity = _identify(req)
    req.context.by = identity.email  # for the record of changes
    return identity


def _identify(req: falcon.Request) -> Identity:
    token = _bearer(req)
    if token is not None:
        with_ = services(req)
        try:
            return sessions.identify_token(with_.store, with_.settings.auth, token)
        except NotLoggedIn as error:
            raise falcon.HTTPUnauthorized(
                description=str(error), challenges=['Bearer error="invalid_token"']
            ) from None
    proxied = _proxied(req)
    if proxied is not None:
        return proxied
    reason = "Not logged in"
    for token in _session_cookies(req):
        try:
            return sessions.identify(services(req).store, services(req).secret, token)
        except NotLoggedIn as error:
            reason = str(error)
    raise falcon.HTTPUnauthorized(description=reason)


def _proxied(req: falcon.Request) -> Identity | None:
    """Return the identity that a trusted proxy names (``auth.proxy_header``), or None."""
    settings = services(req).settings
    name = settings.auth.proxy_header
    sent = (req.get_header(name) or "").strip(" \t") if name else ""
    remote: str = req.env.get("REMOTE_ADDR") or ""
    if not sent or not is_trusted(remote, settings.server.forwarded_allow_ips):
        return None
    try:
        email = sent.encode("latin-1").decode()  # WSGI has a character for each byte (PEP 3333)
    except UnicodeDecodeError:
        raise falcon.HTTPUnauthorized(description=f"The header {name} is not UTF-8") from None
    try:
        return sessions.identify_proxied(services(req).store, settings.auth, email)
    except NotLoggedIn as error:
        raise falcon.HTTPUnauthorized(description=str(error)) from None


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


def _bearer(req: falcon.Request) -> str | None:
    """Return the token of the header (RFC 6750 §2.1), or None without one.

    Other schemes are for a proxy in front of the service, such as its own passwords.
    """
    scheme, _, token = (req.get_header("Authorization") or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def check_origin(req: falcon.Request) -> None:
    """Raise HTTPForbidden for a request from another origin's page (RFC 6454 §7).

    Browsers send the header with every cross-origin POST request and WebSocket handshake;
    other programs may omit it.  It does not matter for a request with a token, which no
    browser adds by itself.
    """
    origin = req.get_header("Origin")
    if (
        origin is None
        or _bearer(req) is not None
        or origin in services(req).settings.server.allowed_origins
    ):
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
        who = "only an admin may do this"
        if identity.all_apps:
            who = "the token is limited to applications or a right, and this needs all of them"
        raise falcon.HTTPForbidden(description=f"Permission denied: {who}")
    return identity


def require_unlimited(req: falcon.Request) -> Identity:
    """Return the identity of a user, or of a token that may do whatever its user may."""
    identity = authenticate(req)
    if identity.limits:
        raise falcon.HTTPForbidden(description="Permission denied: the token is limited")
    return identity


def require_app(
    req: falcon.Request, identity: Identity, app_id: int | None, right: Right = "viewer"
) -> App:
    """Return the application if ``identity`` has at least this right to it."""
    app, _ = require_right(req, identity, app_id, right)
    return app


def require_right(
    req: falcon.Request, identity: Identity, app_id: int | None, right: Right = "viewer"
) -> tuple[App, Right]:
    """Return the application, and the right of ``identity``, if it is at least this one.

    Only an admin learns that an application does not exist; other users get the same
    answer as for an application that is not theirs.
    """
    store = services(req).store
    app = store.apps.get(app_id) if app_id is not None else None
    granted = None if app is None else store.apps.right(app.id, identity)
    if app is not None and granted is not None and covers(granted, right):
        return app, granted
    if app is not None and granted is not None:
        raise falcon.HTTPForbidden(
            description=f"Permission denied: you are a {granted} of {app.name}, "
            f"and this needs a {right}"
        )
    if identity.admin:
        raise falcon.HTTPNotFound(description="Application not found")
    raise falcon.HTTPForbidden(description="Permission denied")


def still_valid(store: Store, identities: Iterable[Identity]) -> set[Identity]:
    """Return those of ``identities`` whose session is valid; three queries per 500 of them."""
    everybody = set(identities)
    return everybody - sessions.ended(store, everybody)


def still_permitted(store: Store, identity: Identity, app_id: int | None) -> bool:
    """Return True if a response that takes long may go on.

    That is while the session lasts and the user may see the application or, if it is None,
    is an admin.  The identity's own role is that of the beginning.
    """
    if not still_valid(store, [identity]) or identity.user_id is None:
        return False
    if app_id is None:
        return identity.user_id in store.users.admins()
    return bool(store.apps.permitted({(app_id, identity.user_id)}))


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
