"""Deployments: ``/api/deployments`` and ``/api/apps/{id}/deployments``."""

from __future__ import annotations

from typing import Annotated, Final

import falcon
from msgspec import Meta

from api.http.access import (
    Identity,
    authenticate,
    check_origin,
    require_app,
    services,
)
from api.http.bodies import RequestBody, read
from api.http.envelope import reply
from api.http.ids import limit
from mist.deployments.requests import request_deployment
from mist.errors import Conflict
from mist.ids import MAX_ID, parse_id
from mist.store import Deployment, Right

_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 500


class NewDeploymentBody(RequestBody, frozen=True):
    """The body of ``POST /api/apps/{id}/deployments``."""

    rollback_to: Annotated[int, Meta(ge=1, le=MAX_ID)] | None = None


class DeploymentsResource:
    """``/api/apps/{id}/deployments``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """List the application's newest deployments, newest first; ``?limit=N`` of them."""
        app = require_app(req, authenticate(req), parse_id(app_id))
        most = limit(req, _DEFAULT_LIMIT, _MAX_LIMIT)
        reply(resp, services(req).store.deployments.for_app(app.id, most))

    def on_post(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Queue a deployment; ``rollback_to`` starts the image of an earlier one."""
        check_origin(req)
        identity = authenticate(req)
        app = require_app(req, identity, parse_id(app_id), "deployer")
        body = read(req, NewDeploymentBody)
        with_ = services(req)
        deployment = request_deployment(
            with_.store, with_.settings, app, identity.email, body.rollback_to
        )
        reply(resp, deployment, f"Deployment {deployment.id} is queued", falcon.HTTP_201)


class DeploymentResource:
    """``/api/deployments/{id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, deployment_id: str) -> None:
        """Show one deployment."""
        reply(resp, require_deployment(req, authenticate(req), deployment_id))


class CancelResource:
    """``/api/deployments/{id}/cancel``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, deployment_id: str) -> None:
        """Request the cancellation of an unfinished deployment, without waiting for its end."""
        check_origin(req)
        identity = authenticate(req)
        deployment = require_deployment(req, identity, deployment_id, "deployer")
        store = services(req).store
        if not store.deployments.request_cancel(deployment.id, identity.email):
            raise Conflict(f"Deployment {deployment.id} has already finished")
        asked = store.deployments.get(deployment.id)
        reply(resp, asked, "Cancellation requested", falcon.HTTP_202)


def require_deployment(
    req: falcon.Request, identity: Identity, text: str, right: Right = "viewer"
) -> Deployment:
    """Return the deployment if ``identity`` has this right to its application.

    Like :func:`require_app`, tell only an admin that it does not exist.
    """
    number = parse_id(text)  # None for a path that cannot be an id
    deployment = services(req).store.deployments.get(number) if number else None
    if deployment is not None:
        require_app(req, identity, deployment.app_id, right)
        return deployment
    if identity.admin:
        raise falcon.HTTPNotFound(description="Deployment not found")
    raise falcon.HTTPForbidden(description="Permission denied")
