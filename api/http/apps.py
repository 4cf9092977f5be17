"""Applications: ``/api/apps``."""

from __future__ import annotations

import falcon

from api.http.access import authenticate, check_origin, require_admin, require_app, services
from api.http.bodies import read
from api.http.envelope import reply
from mist.apps import management
from mist.apps.management import NewApp, public
from mist.ids import parse_id


class AppsResource:
    """``/api/apps``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the applications that the user may see."""
        identity = authenticate(req)
        apps = services(req).store.apps.rights_of(identity)
        reply(resp, [public(app) | {"right": right} for app, right in apps])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add an application; only for admins, because it can show logs and run code."""
        check_origin(req)
        require_admin(req)
        app = management.add(services(req).store, read(req, NewApp))
        reply(resp, public(app) | {"right": "deployer"}, "Application added", falcon.HTTP_201)


class AppResource:
    """``/api/apps/{id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Show one application."""
        identity = authenticate(req)
        app = require_app(req, identity, parse_id(app_id))
        right = services(req).store.apps.right(app.id, identity)
        reply(resp, public(app) | {"right": right})
