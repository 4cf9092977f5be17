"""What integration tests share: a private engine and the service on it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pytest

from tests.integration.harness import engine as engines
from tests.integration.harness.clients import ALL, Client
from tests.integration.harness.engine import PrivateEngine
from tests.integration.harness.service import Service

Engine = TypeVar("Engine", bound=PrivateEngine)


class MakeService(Protocol):
    """Starts a service with settings of its own; it is destroyed after the test."""

    def __call__(
        self,
        engine: PrivateEngine,
        settings: dict[str, object] | None = None,
        *,
        workers: int = 1,
        start: bool = True,
    ) -> Service:
        """``settings`` are ``{"section.key": value}``."""


@contextmanager
def engine_or_skip(kind: type[Engine]) -> Iterator[Engine]:
    """A started engine with the image; without the means, CI fails and a desk skips."""
    try:
        engines.require()
    except engines.EngineMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    engine = kind()
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        engine.destroy()


@pytest.fixture(scope="session")
def engine() -> Iterator[PrivateEngine]:
    """The engine that tests share; who stops or restarts one takes ``own_engine``."""
    with engine_or_skip(PrivateEngine) as engine:
        yield engine


@pytest.fixture
def own_engine() -> Iterator[PrivateEngine]:
    """An engine for this test alone, to be restarted and killed at will."""
    with engine_or_skip(PrivateEngine) as engine:
        yield engine


@pytest.fixture
def container(engine: PrivateEngine, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test uses; the container of that name is removed afterwards."""
    name = f"test-{zlib.crc32(request.node.nodeid.encode()):08x}"
    yield name
    engine.remove(name)


@pytest.fixture(scope="session")
def service(engine: PrivateEngine) -> Iterator[Service]:
    """One service with the default settings (but a short linger) for tests that break nothing."""
    service = Service(engine.host, {"collector.linger_seconds": 1})
    try:
        service.start()
        yield service
    finally:
        service.destroy()


@pytest.fixture(scope="session")
def admin(service: Service) -> str:
    """The administrator's cookie for ``service``."""
    return service.login()


@pytest.fixture
def make_service() -> Iterator[MakeService]:
    """Services for this test alone."""
    made: list[Service] = []

    def make(
        engine: PrivateEngine,
        settings: dict[str, object] | None = None,
        *,
        workers: int = 1,
        start: bool = True,
    ) -> Service:
        service = Service(engine.host, settings, workers)
        made.append(service)
        if start:
            service.start()
        return service

    yield make
    for service in made:
        service.destroy()


@pytest.fixture
def open_client() -> Iterator[Callable[..., Client]]:
    """``open_client(url, cookie, kind=WebsocketsClient)``; closed after the test."""
    opened: list[Client] = []

    def open_one(
        url: str,
        cookie: str | None = None,
        origin: str | None = None,
        kind: type[Client] = ALL[0],
    ) -> Client:
        client = kind(url, cookie, origin)
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture(params=ALL, ids=[kind.kind for kind in ALL])
def client_kind(request: pytest.FixtureRequest) -> type[Client]:
    """Each of the clients in turn."""
    kind: type[Client] = request.param
    return kind
