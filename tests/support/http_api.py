"""The application on a real store, called without a server."""

from __future__ import annotations

from typing import Any

import falcon.testing

from api.app import create_app
from api.services import Services
from mist.accounts import tokens
from mist.settings import ServerSettings, Settings
from mist.store import User

SECRET = b"s" * 32
SETTINGS = Settings(
    server=ServerSettings(allowed_origins=("https://dashboard.example.com",), max_body_bytes=2_048)
)


class Api(falcon.testing.TestClient):
    """A client that can act as any user."""

    def __init__(self, services: Services) -> None:
        super().__init__(create_app(services))
        self.services = services
        self.installation = services.store.installation
        self.bus_problem: str | None = None

    def with_(self, **changes: Any) -> Api:
        """Return the same application with other services."""
        return Api(self.services._replace(**changes))

    def ask(self, method: str, path: str, user: User | None = None, **options: Any) -> Any:
        """Return the answer to a request of ``user``."""
        headers = dict(options.pop("headers", {}))
        if user is not None:
            token = tokens.issue(SECRET, self.installation, user, 1.0)
            headers["Cookie"] = "mist_token=" + token.text
        return self.simulate_request(method, path, headers=headers, **options)
