"""Fixtures for the integration tests: a private engine and a service that runs on it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pytest

from tests.support.service import engine as engines
from tests.support.service.clients import ALL, Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service

Engine = TypeVar("Engine", bound=PrivateEngine)


class MakeService(Protocol):
    """Start a service with its own settings. It is destroyed after the test."""

    def __call__(
        self,
        engine: PrivateEngine,
        settings: dict[str, object] | None = None,
        *,
        workers: int = 1,
        start: bool = True,
    ) -> Service:
        """Return a running service; ``settings`` are ``{"section.key": value}``."""


@contextmanager
def engine_or_skip(kind: type[Engine]) -> Iterator[Engine]:
    """Return a started engine with the image, or skip the test (in CI: fail)."""
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
    """The engine that tests share. A test that stops or restarts an engine uses ``own_engine``."""
    with engine_or_skip(PrivateEngine) as engine:
        yield engine


@pytest.fixture
def own_engine() -> Iterator[PrivateEngine]:
    """An engine for this test alone, which the test may restart and kill."""
    with engine_or_skip(PrivateEngine) as engine:
        yield engine


def container_name(request: pytest.FixtureRequest) -> str:
    """Return a name that no other test uses."""
    # A test that is run again finds the application of its first run in a shared service.
    attempt = getattr(request.node, "execution_count", 1)
    return f"test-{zlib.crc32(f'{request.node.nodeid} {attempt}'.encode()):08x}"


@pytest.fixture
def container(engine: PrivateEngine, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test uses. The container with that name is removed after the test."""
    name = container_name(request)
    yield name
    engine.remove(name)


@pytest.fixture(scope="session")
def service(engine: PrivateEngine) -> Iterator[Service]:
    """A shared service with default settings (but a short linger), for tests that break nothing."""
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
    """Start services for this test alone."""
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
    """Open a client: ``open_client(url, cookie, kind=WebsocketsClient)``. Closed after the test."""
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
    """Each kind of client in turn."""
    kind: type[Client] = request.param
    return kind
