"""The Falcon application: its HTTP routes, and what all requests have in common."""

from __future__ import annotations

from typing import Final

import falcon

from api.http import (
    adoption,
    apps,
    audit,
    auth,
    deployments,
    grants,
    health,
    hooks,
    older_lines,
    status,
    tokens,
    users,
)
from api.http.errors import App, add_error_handlers
from api.http.openapi.document import OpenApiResource
from api.http.page import Page
from api.services import Services

__all__ = ["App", "Services", "create_app"]

# Responses describe this moment for one user, so no cache may keep them.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class _Everywhere:
    """Middleware that attaches the services to each request and counts the responses."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Attach the services, before routing."""
        req.context.services = self._services
        resp.set_headers(_HEADERS)

    def process_response(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        _resource: object,
        _succeeded: bool,
    ) -> None:
        """Count the response; all unknown routes share one label, as do all unknown methods."""
        # A label value that the client can choose would create metrics without limit.
        route = req.uri_template or "none"
        if not route.startswith("/ws/"):
            method = req.method if req.method in falcon.HTTP_METHODS else "other"
            self._services.monitoring.answers.labels(route, method, resp.status_code).inc()


def create_app(services: Services, page: Page | None = None) -> App:
    """Return the application with its HTTP routes; the caller adds the WebSocket routes.

    ``page`` answers every request that no route matches.
    """
    app: App = falcon.App(middleware=[_Everywhere(services), audit.AuditMiddleware()])
    add_error_handlers(app)
    app.add_route("/api/auth/login", auth.LoginResource())
    app.add_route("/api/auth/logout", auth.LogoutResource())
    app.add_route("/api/auth/me", auth.MeResource())
    app.add_route("/api/auth/password", auth.PasswordResource())
    app.add_route("/api/users", users.UsersResource())
    app.add_route("/api/users/{user_id}", users.UserResource())
    app.add_route("/api/tokens", tokens.TokensResource())
    app.add_route("/api/tokens/{token_id}", tokens.TokenResource())
    app.add_route("/api/apps", apps.AppsResource())
    app.add_route("/api/apps/{app_id}", apps.AppResource())
    app.add_route("/api/apps/{app_id}/adoption", adoption.AdoptionResource())
    app.add_route("/api/apps/{app_id}/hook", hooks.HookSecretResource())
    app.add_route("/api/hooks/{app_id}", hooks.HookResource(services.settings.hooks))
    app.add_route("/api/apps/{app_id}/deployments", deployments.DeploymentsResource())
    app.add_route("/api/apps/{app_id}/grants", grants.GrantsResource())
    app.add_route("/api/apps/{app_id}/grants/{user}", grants.GrantResource())
    app.add_route("/api/apps/{app_id}/logs", older_lines.AppLogResource())
    app.add_route("/api/containers/{name}/logs", older_lines.ContainerLogResource())
    app.add_route("/api/deployments/{deployment_id}", deployments.DeploymentResource())
    app.add_route("/api/deployments/{deployment_id}/cancel", deployments.CancelResource())
    app.add_route("/api/status", status.StatusResource())
    app.add_route("/api/audit", audit.AuditResource())
    app.add_route("/api/openapi.json", OpenApiResource())
    app.add_route("/healthz", health.AliveResource())
    app.add_route("/readyz", health.ReadyResource())
    app.add_route("/metrics", health.PrometheusResource())
    if page is not None:  # tests of the API alone need no page
        app.add_sink(page, "/")
    return app
