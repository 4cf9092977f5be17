"""Clients get each line once and in order, whatever is restarted."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from itertools import pairwise

import psutil
import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import assert_run, numbered
from tests.support.service.clients import Client, WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

LINES = 20_000
LAST = str(LINES - 1)


def pid_of(service: Service, process: str) -> int:
    """Return the process id of a process from the supervisor's table."""
    return int(service.running(process)[0]["pid"])


def end(service: Service, process: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal and wait until the supervisor has started another process."""
    old = pid_of(service, process)
    os.kill(old, number)
    wait_until(lambda: [r for r in service.running(process) if r["pid"] != old], f"a new {process}")


def finish(clients: list[Client]) -> None:
    """Check that every client has received everything once."""
    for client in clients:
        client.wait_for(lambda _, one=client: one.lines[-1:] == [LAST], 90)  # type: ignore[misc]
        client.close()
        assert_run(client, LINES - 1)
        assert not client.of_type("skipped")


def join_at_random(url: str, cookie: str, disturb: Callable[[], None]) -> list[Client]:
    """Connect twenty clients one by one, and call ``disturb`` after the first half of them."""
    clients: list[Client] = []
    chance, rest = random.Random(2), threading.Event()
    for number in range(20):
        if number == 10:
            clients[0].wait_lines(1_000)
            disturb()
        clients.append(WebsocketsClient(url, cookie))
        rest.wait(chance.uniform(0.0, 0.2))
    return clients


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("process", ["container/", "broker"])
def test_ended_process_in_mid_stream(
    engine: PrivateEngine,
    make_service: MakeService,
    container: str,
    process: str,
    number: signal.Signals,
) -> None:
    """A signal to the collector or the broker between two lines loses and repeats nothing."""
    service = make_service(engine)
    cookie = service.login()
    engine.run(container, numbered(LINES, pause_every=50))
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    finish(join_at_random(url, cookie, lambda: end(service, process, number)))


@pytest.mark.timeout(240)
def test_docker_daemon_restarted_in_mid_stream(
    own_engine: PrivateEngine, make_service: MakeService, container: str
) -> None:
    """With live-restore the container keeps writing; clients see one continuous run."""
    service = make_service(own_engine)
    cookie = service.login()
    own_engine.run(container, numbered(LINES, pause_every=50))
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    clients = join_at_random(url, cookie, own_engine.restart)
    finish(clients)
    assert all(client.types.count("status") == 1 for client in clients)


def test_killed_web_worker_leaves_no_collector_behind(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """The kernel closes the worker's sockets, which ends the demand."""
    service = make_service(engine, {"collector.linger_seconds": 1})
    cookie = service.login()
    engine.run(container, numbered(10))
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), cookie)
    client.wait_lines(10)
    for worker in psutil.Process(pid_of(service, "gunicorn")).children():
        worker.kill()
    client.wait_closed()
    wait_until(lambda: not service.running(f"container/{app}"), "the collector to go")
    again = open_client(service.ws_url("container/logs", appId=app), cookie)
    again.wait_lines(10)


def test_restarted_container_goes_on_in_the_same_stream(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """After ``docker restart`` comes a new status, and no line is lost or repeated."""
    engine.run(container, "echo begun; while [ ! -e /tmp/stop ]; do sleep 0.1; done")
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    client.wait_lines(1)
    engine.client.restart(container)
    client.wait_lines(2)
    assert client.lines == ["begun", "begun"]
    assert client.types == ["status", "log", "status", "log"]


def test_container_recreated_under_the_same_name(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """Clients get the old lines, a new status and the new container's lines from the first one."""
    engine.run(container, numbered(50))
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    client.wait_lines(50)
    engine.remove(container)
    engine.run(container, numbered(30))
    client.wait_lines(80)
    assert client.lines == [str(n) for n in [*range(50), *range(30)]]
    assert [a for a, b in pairwise([*client.types, ""]) if a != b] == [
        "status",
        "log",
        "status",
        "log",
    ]


def test_log_rotation_under_a_follower(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """The stream loses and repeats nothing while the engine rotates the log files."""
    options = {"max-size": "64k", "max-file": "3"}
    engine.run(container, numbered(LINES, pause_every=50), log_options=options)
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    finish([client])


def test_whole_service_restarted_by_its_supervisor(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """Old clients are closed with 1001; a new one continues from a timestamp."""
    service = make_service(engine)
    cookie = service.login()
    engine.run(container, numbered(500))
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), cookie)
    client.wait_lines(100)
    assert service.stop() == 0
    assert client.wait_closed() == 1001
    last = client.of_type("log")[-1]["timestamp"]
    engine.say(container, "echo more")
    service.start()
    url = service.ws_url("container/logs", appId=app, since=last)
    again = open_client(url, cookie)
    again.wait_lines(1)
    assert again.lines[0] in {"more", str(int(client.lines[-1]) + 1)}


def test_killed_supervisor_takes_everything_with_it(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """No process outlives its supervisor."""
    service = make_service(engine)
    cookie = service.login()
    engine.run(container, numbered(10))
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), cookie)
    client.wait_lines(10)
    service.kill()
    wait_until(lambda: not service.processes(), "every process to end")
