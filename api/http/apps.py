"""Applications: ``/api/apps``."""

from __future__ import annotations

import falcon
import msgspec

from api.http.access import (
    authenticate,
    check_origin,
    require_admin,
    require_app,
    require_right,
    services,
)
from api.http.bodies import read
from api.http.envelope import reply
from mist.apps import management
from mist.apps.management import AppChanges, NewApp, public
from mist.ids import parse_id
from mist.store import App, Right


class AppsResource:
    """``/api/apps``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the applications that the user may see."""
        identity = authenticate(req)
        apps = services(req).store.apps.rights_of(identity)
        reply(resp, [_shown(app, right) for app, right in apps])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add an application; only for admins, because it can show logs and run code."""
        check_origin(req)
        require_admin(req)
        with_ = services(req)
        app = management.add(with_.store, read(req, NewApp), with_.settings.deployments)
        reply(resp, _shown(app), f"Application added: {app.name}", falcon.HTTP_201)


class AppResource:
    """``/api/apps/{id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Show one application."""
        app, right = require_right(req, authenticate(req), parse_id(app_id))
        reply(resp, _shown(app, right))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Change the fields in the body, a JSON merge patch (RFC 7396); only for admins."""
        app = administered(req, app_id)
        with_, changes = services(req), read(req, AppChanges)
        after = management.edit(with_.store, app.id, changes, with_.settings.deployments)
        fields = ", ".join(management.changed_fields(changes)) or "nothing"
        said = f"Application changed: {app.name} ({fields}); the next deployment applies it"
        reply(resp, _shown(after), said)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Request the removal of an application and its container; only for admins."""
        check_origin(req)
        admin = require_admin(req)
        app = require_app(req, admin, parse_id(app_id))
        store = services(req).store
        store.apps.request_removal(app.id, admin.email)
        after = store.apps.get(app.id)  # None if it is gone already
        said = f"Removal requested: {app.name}"
        reply(resp, after and _shown(after), said, falcon.HTTP_202)


def _shown(app: App, right: Right | None = "deployer") -> dict[str, object]:
    """Return what a user with this right sees; an admin may deploy everything."""
    return msgspec.structs.asdict(public(app)) | {"right": right}


def administered(req: falcon.Request, app_id: str) -> App:
    """Return the application that an admin is about to change."""
    check_origin(req)
    return require_app(req, require_admin(req), parse_id(app_id))
