"""Webhooks: ``/api/hooks/{id}`` for Git providers, ``/api/apps/{id}/hook`` for admins."""

from __future__ import annotations

import secrets
from typing import Final

import falcon

from api.http.access import services
from api.http.apps import administered
from api.http.bodies import raw
from api.http.envelope import reply
from api.http.peer import peer
from api.http.rates import RateLimit
from mist.apps import management
from mist.deployments.requests import request_pushed
from mist.ids import parse_id
from mist.settings import HookSettings
from mist.store import App
from mist.webhooks import Delivery, Ignored

# Compared with the signatures for applications without a webhook, so that these take as long.
_NOBODYS: Final = secrets.token_urlsafe(32)


class HookResource:
    """``/api/hooks/{id}``, for senders that know the secret and have no session."""

    def __init__(self, settings: HookSettings) -> None:
        self._settings = settings
        self._refusals = RateLimit(settings.refusals, settings.window_seconds)
        self._reading = 0
        self._pushes = RateLimit(settings.pushes, settings.window_seconds)

    def on_post(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Deploy the application if its branch was pushed."""
        app, delivery = self._authenticated(req, parse_id(app_id))
        event = delivery.read(app.branch)
        if isinstance(event, Ignored):
            reply(resp, None, event.reason, falcon.HTTP_200 if event.ping else falcon.HTTP_202)
            return
        self._pushes.check(app.id, f"Too many pushes of {app.name} (hooks.pushes)")
        self._pushes.note(app.id)
        assert delivery.provider is not None
        req.context.by = by = f"{delivery.provider.name} webhook"
        pushed = request_pushed(services(req).store, self._settings, app, by, delivery.digest)
        data = {"deployment_id": pushed.deployment_id, "replaced": pushed.replaced}
        if pushed.seen:
            reply(resp, data, "This delivery has been handled before")
            return
        reply(resp, data, f"Deployment of {event.branch} queued", falcon.HTTP_201)

    def _authenticated(self, req: falcon.Request, app_id: int | None) -> tuple[App, Delivery]:
        """Return the application and the genuine delivery; otherwise raise HTTPForbidden.

        Nobody else learns which applications exist or have a webhook.
        """
        client = peer(req)
        # A proxy that does not name its clients must not be locked out because of one.
        network = None if client.shared else client.network
        if network is not None:
            self._refusals.check(network, "Too many refused deliveries (hooks.refusals)")
        try:
            app, delivery = self._checked(req, app_id)
        except falcon.HTTPError:
            if network is not None:
                self._refusals.note(network)
            raise
        return app, delivery

    def _checked(self, req: falcon.Request, app_id: int | None) -> tuple[App, Delivery]:
        body = self._body(req)
        app = services(req).store.apps.get(app_id) if app_id is not None else None
        delivery = Delivery(req.get_header, body)
        genuine = delivery.signed_with((app and app.hook_secret) or _NOBODYS)
        if app is None or app.hook_secret is None or delivery.provider is None or not genuine:
            raise falcon.HTTPForbidden(
                description="There is no webhook here, or the signature does not match its secret"
            )
        return app, delivery

    def _body(self, req: falcon.Request) -> bytes:
        """Read the body; senders that did not prove anything yet share a bound of memory."""
        most = self._settings.body_bytes
        length = req.content_length
        size = most if length is None else min(length, most)
        if self._reading and self._reading + size > self._settings.reading_bytes:
            raise falcon.HTTPTooManyRequests(
                description="Too many deliveries at once (hooks.reading_bytes)",
                headers={"Retry-After": "1", "Connection": "close"},
            )
        self._reading += size
        try:
            return raw(req, most, "hooks.body_bytes")
        finally:
            self._reading -= size


class HookSecretResource:
    """``/api/apps/{id}/hook``."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Make a secret for the application's webhook, in place of an earlier one; for admins."""
        app = administered(req, app_id)
        secret = management.new_hook(services(req).store, app)
        data = {"path": management.hook_path(app), "secret": secret}
        reply(resp, data, "The secret is shown once; the former one is not valid any more")

    def on_delete(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Turn the application's webhook off; for admins."""
        app = administered(req, app_id)
        services(req).store.apps.set_hook_secret(app.id, None)
        reply(resp, None, "The webhook is off")
