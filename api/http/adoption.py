"""Containers that an application may adopt: ``/api/apps/{id}/adoption``, only for admins."""

from __future__ import annotations

import falcon
import msgspec

from api.http.access import Identity, check_origin, require_admin, require_app, services
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from api.http.readers import ReaderAnswer
from mist.adoptable import Adoptable
from mist.errors import Conflict
from mist.ids import parse_id
from mist.read_request import ReadRequest
from mist.store import App


class AdoptionBody(RequestBody, frozen=True):
    """The body of ``POST /api/apps/{id}/adoption``."""

    container_id: str


class AdoptionResource:
    """``/api/apps/{id}/adoption``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Describe the container that the next deployment could replace."""
        identity = require_admin(req)
        reply(resp, _look(req, identity, require_app(req, identity, parse_id(app_id))))

    def on_post(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Let the next deployment replace the container with this full id."""
        check_origin(req)
        identity = require_admin(req)
        app = require_app(req, identity, parse_id(app_id))
        wanted = read(req, AdoptionBody).container_id
        # Looked at again: what a deployment would replace decides, not what the client sent.
        if _look(req, identity, app).container_id != wanted:
            raise Conflict(
                f"{app.container!r} is another container than {wanted[:64]!r} now; look again at "
                "what the deployment would replace"
            )
        services(req).store.apps.adopt(app.id, wanted)
        reply(resp, None, f"The next deployment of {app.name} replaces {app.container}")


def _look(req: falcon.Request, identity: Identity, app: App) -> Adoptable:
    """Return the description of the application's container, which a reader makes."""
    user = identity.email or identity.session
    answer = ReaderAnswer(services(req), ReadRequest(user=user, app_id=app.id, adopts=True))
    answer.require_success()
    return msgspec.json.decode(answer.whole(), type=Adoptable)
