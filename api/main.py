"""The entry point for gunicorn: each worker calls ``api.main:build()`` after the fork."""

from __future__ import annotations

from api.app import App, create_app
from api.http.page import Page
from api.live.hub import Hub
from api.live.routes import Live, add_routes
from api.live.sessions import SessionWatch
from api.monitoring import Monitoring
from api.services import Services
from mist import logs
from mist.accounts import secret
from mist.errors import SettingsError, StoreError
from mist.paths import Paths, out_of_reach, resolve_paths
from mist.settings import Settings, load_settings
from mist.store import Store, open_store


def build() -> App:
    """Return the application with its store, bus and open streams; raise MistError on failure."""
    settings = load_settings()
    _check_sign_in(settings)
    logs.configure(settings)
    paths = resolve_paths()  # refuses directories that other users could change
    store = _open_store(settings, paths)
    monitoring = Monitoring(paths, store)
    hub = Hub(paths, settings, monitoring.topics.set)
    sessions = SessionWatch(store, settings.auth.check_seconds, monitoring.clients.set)
    services = Services(settings, paths, store, secret.load(paths), monitoring, hub.problem)
    app = create_app(services, Page())
    add_routes(app, Live(store, settings, paths, hub, sessions))
    # Last, so that a failed start leaves no greenlets behind.
    hub.start()
    sessions.start()
    return app


def _check_sign_in(settings: Settings) -> None:
    """Refuse settings with which everybody could sign in as anybody."""
    if settings.auth.proxy_header and "*" in settings.server.forwarded_allow_ips:
        problem = "needs the proxy's addresses in server.forwarded_allow_ips, not *"
        raise SettingsError("auth.proxy_header", problem)


def _open_store(settings: Settings, paths: Paths) -> Store:
    """Open the store; only the supervisor, as its own user, creates the file and the tables."""
    file = paths.database
    if not (settings.store.url or out_of_reach(file) or file.exists()):
        raise StoreError(
            f"the store {file} does not exist; start `mist up` or mist-supervisor first"
        )
    store = open_store(settings, paths)
    store.check()
    return store
