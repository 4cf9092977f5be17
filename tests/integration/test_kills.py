"""Several processes killed at once under load: each line still comes once and in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_restarts import pid_of
from tests.support.service.clients import Client, WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.service.units import Units

pytestmark = pytest.mark.engine


def counting(rate: int, seconds: int) -> str:
    """Return a script that writes numbers from 1 on, ``rate`` per second in ten bursts."""
    burst, last = rate // 10, rate * seconds
    return (
        f"n=1; while [ $n -le {last} ]; do seq $n $((n+{burst}-1)); n=$((n+{burst})); "
        "sleep 0.1; done; sleep 600"
    )


@contextmanager
def listening(service: Service, cookie: str, app: int, count: int = 3) -> Iterator[list[Client]]:
    """Connect clients that have received a second's worth of lines."""
    url = service.ws_url("container/logs", appId=app)
    clients = [WebsocketsClient(url, cookie) for _ in range(count)]
    try:
        for client in clients:
            client.wait_lines(200)
        yield list(clients)
    finally:
        for client in clients:
            client.close()


def assert_complete(clients: list[Client], last: int, seconds: float = 60.0) -> float:
    """Check that each client has every number once and in order.  Return the longest pause."""
    for client in clients:
        client.wait_for(lambda _, one=client: str(last) in one.lines[-1:], seconds)  # type: ignore[misc]
        first = int(client.lines[0])
        assert client.of_type("skipped") == []
        assert client.lines == [str(number) for number in range(first, last + 1)]
    return max(b - a for client in clients for a, b in pairwise(client.arrivals))


def kill_every_worker(service: Service) -> None:
    """Kill the fork server and everything that came from it in the same moment."""
    for name in ("fork-server", "broker", "container/", "metrics"):
        os.kill(pid_of(service, name), signal.SIGKILL)


def kill_broker_and_collector(service: Service) -> None:
    """Kill the broker and the collector in the same moment."""
    for pid in (pid_of(service, "broker"), pid_of(service, "container/")):
        os.kill(pid, signal.SIGKILL)


def kill_both_and_lose_the_claim(service: Service) -> None:
    """Kill them, and damage the file that says where they were."""
    kill_broker_and_collector(service)
    [claim] = (service.paths.runtime / "claims").iterdir()
    claim.write_bytes(b"\xff" * 4_096)


@pytest.mark.parametrize(
    ("kill", "rate"),
    [
        (kill_every_worker, 300),
        (kill_every_worker, 3_000),
        (kill_broker_and_collector, 3_000),
        (kill_both_and_lose_the_claim, 3_000),
    ],
)
def test_broker_and_collector_die_together(
    engine: PrivateEngine,
    make_service: MakeService,
    container: str,
    kill: Callable[[Service], None],
    rate: int,
) -> None:
    """Their successors continue the numbers, so that clients get what they lack and no more."""
    service = make_service(engine, workers=2)
    cookie = service.login()
    app = service.add_app(container, container)
    engine.run(container, counting(rate, 8))
    with listening(service, cookie, app) as clients:
        broker = pid_of(service, "broker")
        kill(service)
        pause = assert_complete(clients, rate * 8)
        assert pid_of(service, "broker") != broker
    print(f"{kill.__name__} at {rate} lines/s: {pause:.2f} s")
    assert pause < 5.0  # 2 s on an idle machine


@pytest.mark.parametrize(("number", "rate"), [(signal.SIGKILL, 3_000), (signal.SIGTERM, 300)])
def test_supervisor_is_away_while_the_web_tier_stays(
    engine: PrivateEngine,
    request: pytest.FixtureRequest,
    container: str,
    number: signal.Signals,
    rate: int,
) -> None:
    """A supervisor that is back after three seconds continues the numbers of the old one."""
    service = Units(engine.host)
    request.addfinalizer(service.destroy)
    service.start()
    cookie = service.login()
    app = service.add_app(container, container)
    engine.run(container, counting(rate, 9))
    with listening(service, cookie, app) as clients:
        supervisor = service.unit("supervisor")
        supervisor.restart_seconds = 3.0
        old = supervisor.pid
        os.kill(old, number)
        pause = assert_complete(clients, rate * 9)
        assert supervisor.pid != old
    print(f"supervisor {number.name} at {rate} lines/s: {pause:.2f} s")


def test_broker_that_stops_for_a_while(
    engine: PrivateEngine, make_service: MakeService, container: str
) -> None:
    """Lines that were in transit meanwhile are neither called skipped nor repeated."""
    service = make_service(engine, workers=2)
    cookie = service.login()
    app = service.add_app(container, container)
    engine.run(container, counting(3_000, 8))
    with listening(service, cookie, app) as clients:
        broker = pid_of(service, "broker")
        os.kill(broker, signal.SIGSTOP)
        try:
            threading.Event().wait(4.0)  # the time that it does nothing
        finally:
            os.kill(broker, signal.SIGCONT)
        assert_complete(clients, 24_000)
