"""The application on a real store, asked without a server in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.services import Services
from mist.accounts import tokens
from mist.paths import Paths
from mist.settings import Server, Settings
from mist.store import Store, User
from tests import store_rig

SECRET = b"s" * 32
SETTINGS = Settings(
    server=Server(allowed_origins=("https://dashboard.example.com",), max_body_bytes=2_048)
)


class Api(falcon.testing.TestClient):
    """A client that can be somebody."""

    def __init__(self, services: Services) -> None:
        super().__init__(create_app(services))
        self.services = services
        self.installation = services.store.installation
        self.bus_problem: str | None = None

    def with_(self, **changes: Any) -> Api:
        """The same application with some of its services changed."""
        return Api(self.services._replace(registry=CollectorRegistry(), **changes))

    def ask(self, method: str, path: str, user: User | None = None, **options: Any) -> Any:
        """The answer to a request of ``user``."""
        headers = dict(options.pop("headers", {}))
        if user is not None:
            token = tokens.issue(SECRET, self.installation, user, 1.0)
            headers["Cookie"] = "mist_token=" + token.text
        return self.simulate_request(method, path, headers=headers, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with its tables."""
    with store_rig.opened(tmp_path) as store:
        yield store


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Api:
    """The application; its bus is reachable unless ``bus_problem`` says otherwise."""
    api: Api
    paths = Paths(tmp_path, tmp_path)
    api = Api(
        Services(SETTINGS, paths, store, SECRET, CollectorRegistry(), lambda: api.bus_problem)
    )
    return api


@pytest.fixture
def ada(store: Store) -> User:
    """An admin."""
    return store_rig.add_user(store, "ada@example.com", "admin")


@pytest.fixture
def bob(store: Store) -> User:
    """A user without any grant."""
    return store_rig.add_user(store, "bob@example.com")
