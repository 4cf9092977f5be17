"""Rights to applications: ``/api/apps/{id}/grants``, only for admins."""

from __future__ import annotations

import falcon

from api.http import users
from api.http.access import check_origin, require_admin, require_app, services
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from mist.apps import management
from mist.errors import NotFound
from mist.ids import parse_id
from mist.store import App, Right, User


class GrantBody(RequestBody, frozen=True):
    """The body of ``PUT /api/apps/{id}/grants/{user}``."""

    right: Right = "deployer"


class GrantsResource:
    """``/api/apps/{id}/grants``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """List the grants for the application."""
        app = require_app(req, require_admin(req), parse_id(app_id))
        reply(resp, services(req).store.apps.grants(app.id))


class GrantResource:
    """``/api/apps/{id}/grants/{user}``; the user is an id or an email address."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str, user: str) -> None:
        """Show the user's grant."""
        _reply(req, resp, *_pair(req, app_id, user))

    def on_put(self, req: falcon.Request, resp: falcon.Response, app_id: str, user: str) -> None:
        """Give the user a right to the application, in place of an earlier one."""
        check_origin(req)
        app, found = _pair(req, app_id, user)
        said = management.grant(services(req).store, app, found, read(req, GrantBody).right)
        _reply(req, resp, app, found, said)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, app_id: str, user: str) -> None:
        """Withdraw the grant; open streams of the application end with it."""
        check_origin(req)
        reply(resp, None, management.revoke(services(req).store, *_pair(req, app_id, user)))


def _pair(req: falcon.Request, app_id: str, user: str) -> tuple[App, User]:
    app = require_app(req, require_admin(req), parse_id(app_id))
    return app, users.find(services(req).store, user)


def _reply(
    req: falcon.Request, resp: falcon.Response, app: App, user: User, message: str = "OK"
) -> None:
    for grant in services(req).store.apps.grants(app.id):
        if grant.user_id == user.id:
            reply(resp, grant, message)
            return
    raise NotFound(f"{user.email} has no grant for {app.name}")
