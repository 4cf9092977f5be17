"""Logs and the list of containers behind a socket proxy that withholds answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from mist import clock
from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.engine_proxy import EngineProxy, proxied
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]


@pytest.fixture
def proxy(engine: PrivateEngine) -> Iterator[EngineProxy]:
    """A proxy that lets everything through."""
    with proxied(engine.socket) as proxy:
        yield proxy


@pytest.fixture
def behind(engine: PrivateEngine, make_service: MakeService, proxy: EngineProxy) -> Service:
    """A service that reaches the engine through the proxy."""
    return make_service(engine, {"engine.host": proxy.host})


@pytest.mark.parametrize("how", ["silent", "dropped", "forbidden", "late"])
def test_without_events(
    how: str,
    engine: PrivateEngine,
    behind: Service,
    proxy: EngineProxy,
    container: str,
    open_client: OpenClient,
) -> None:
    """Without a report of events, lines are live, and changes are listed."""
    setattr(proxy, how, {"/events"})
    app, cookie = behind.add_app("web", container), behind.login()
    engine.run(container, "trap : TERM; while :; do echo x; sleep 0.1; done")
    log = open_client(behind.ws_url("container/logs", appId=app), cookie)
    hosts = open_client(behind.ws_url("containers"), cookie)
    hosts.wait_for(lambda _: hosts.of_type("containers"), 5)
    log.wait_for(lambda _: log.of_type("log"), 5)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        newest = clock.nanoseconds(log.of_type("log")[-1]["timestamp"]) / 1e9
        assert time.time() - newest < 4
        time.sleep(0.05)
    engine.client.pause(container)

    def shows_pause() -> bool:
        rows = hosts.of_type("containers")[-1]["data"]["containers"]
        return any((row["name"], row["state"]) == (container, "paused") for row in rows)

    wait_until(shows_pause, "the pause in the list", 5)
    assert proxy.asked.count("/events") < 10
    engine.client.unpause(container)


def test_forbidden_log(
    engine: PrivateEngine,
    behind: Service,
    proxy: EngineProxy,
    container: str,
    open_client: OpenClient,
) -> None:
    """A client reads the status of the answer, and not the page of the proxy."""
    app, cookie = behind.add_app("web", container), behind.login()
    number = engine.run(container, "sleep 600")
    proxy.forbidden = {f"/containers/{number}/logs"}
    client = open_client(behind.ws_url("container/logs", appId=app), cookie)
    assert client.wait_closed() == 1013
    [error] = client.of_type("error")
    assert error["data"]["message"] == "the engine answered with HTTP status 403"
