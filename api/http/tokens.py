"""The tokens of programs: ``/api/tokens``."""

from __future__ import annotations

import falcon

from api.http import users
from api.http.access import Identity, check_origin, require_unlimited, services
from api.http.bodies import read
from api.http.envelope import reply
from mist.accounts import access_tokens
from mist.accounts.access_tokens import NewToken, public
from mist.ids import parse_id
from mist.store import AccessToken, User


class NewTokenBody(NewToken, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of ``POST /api/tokens``; an admin may name another ``user``."""

    user: str | None = None


class TokensResource:
    """``/api/tokens``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the user's tokens; an admin sees everybody's."""
        identity = require_unlimited(req)
        store = services(req).store
        mine = [] if identity.user_id is None else store.tokens.of_user(identity.user_id)
        tokens = store.tokens.all() if identity.admin else mine
        emails = {user.id: user.email for user in store.users.all()}
        reply(resp, [public(token, emails.get(token.user_id, "")) for token in tokens])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a token; this answer is the only one that contains it."""
        check_origin(req)
        identity = require_unlimited(req)
        if identity.token is not None:
            # Otherwise revoking a token that leaked would not be enough.
            raise falcon.HTTPForbidden(
                description="Permission denied: a token cannot make another; sign in"
            )
        body = read(req, NewTokenBody)
        user = _owner(req, identity, body.user)
        with_ = services(req)
        made = access_tokens.create(with_.store, with_.settings.auth, user, body)
        data = public(made.token, user.email) | {"token": made.text}
        said = f"Token added for {user.email}: {made.token.name}; it is not shown again"
        reply(resp, data, said, falcon.HTTP_201)


class TokenResource:
    """``/api/tokens/{id}``."""

    def on_delete(self, req: falcon.Request, resp: falcon.Response, token_id: str) -> None:
        """Revoke the token, which also ends its streams."""
        check_origin(req)
        token = _require_token(req, require_unlimited(req), token_id)
        services(req).store.tokens.remove(token.id)
        reply(resp, None, f"Token revoked: {token.name}")


def _owner(req: falcon.Request, identity: Identity, named: str | None) -> User:
    """Return the user of a new token."""
    store = services(req).store
    user = store.users.get(identity.user_id) if identity.user_id is not None else None
    if named is not None and identity.admin:
        user = users.find(store, named)
    elif named is not None and (user is None or store.users.by_email(named) != user):
        raise falcon.HTTPForbidden(
            description="Permission denied: only an admin may make a token of another user"
        )
    if user is None:
        raise falcon.HTTPForbidden(description=f"{identity.email} has no account here")
    return user


def _require_token(req: falcon.Request, identity: Identity, text: str) -> AccessToken:
    """Return the token if it is the user's own, or for an admin."""
    number = parse_id(text)
    token = services(req).store.tokens.get(number) if number else None
    if token is not None and (identity.admin or token.user_id == identity.user_id):
        return token
    if identity.admin:
        raise falcon.HTTPNotFound(description="Token not found")
    raise falcon.HTTPForbidden(description="Permission denied")
