"""What gunicorn runs: ``api.main:build()``, called in each worker after the fork."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from api.app import App, create_app
from api.http.page import Page
from api.live.hub import Hub
from api.live.routes import Live, add_routes
from api.live.sessions import Sessions
from api.services import Services
from mist import logs, paths, settings
from mist.accounts import secret
from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, open_store


def build() -> App:
    """The application with its store, its bus and its open streams; MistError if it cannot be."""
    configured = settings.load()
    logs.configure(configured)
    where = paths.resolve()
    store = _open_store(configured, where)
    hub = Hub(where, configured)
    sessions = Sessions(store, configured.auth.check_seconds)
    registry = CollectorRegistry()
    _observe(registry, hub, sessions)
    services = Services(configured, where, store, secret.load(where), registry, hub.problem)
    app = create_app(services, Page())
    add_routes(app, Live(store, configured, where, hub, sessions))
    hub.start()
    sessions.start()
    return app


def _open_store(configured: Settings, where: Paths) -> Store:
    """The store with its tables; the supervisor makes both, as its own user."""
    file = where.database
    if not (configured.store.url or paths.out_of_reach(file) or file.exists()):
        raise StoreError(f"the store {file} is not there; start `mist up` or mist-supervisor first")
    store = open_store(configured, where)
    store.check()
    return store


def _observe(registry: CollectorRegistry, hub: Hub, sessions: Sessions) -> None:
    """Show on ``/metrics`` how much the worker that answers has to do."""
    clients = Gauge("mist_live_clients", "Open WebSockets of this worker.", registry=registry)
    clients.set_function(lambda: sessions.connections)
    topics = Gauge("mist_live_topics", "Topics this worker is subscribed to.", registry=registry)
    topics.set_function(lambda: hub.topics)
