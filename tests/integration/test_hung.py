"""Processes that hang are noticed and replaced, and those that pause for a moment are not."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import assert_run
from tests.integration.test_restarts import pid_of
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]
Watched = tuple[Service, Client]

#: Fifty numbered lines a second for two minutes.
LINES = "i=0; while [ $i -lt 6000 ]; do echo $i; sleep 0.02; i=$((i+1)); done"

#: The promise: a client waits for at most this long when a process of ours hangs.
INTERRUPTION = 10.0


def replaced(service: Service, process: str, old: int) -> dict[str, object] | None:
    """Return the row of the process that replaced ``old``."""
    rows = [row for row in service.running(process) if row["state"] == "running"]
    return next((row for row in rows if row["pid"] != old), None)


@pytest.fixture
def watched(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> Watched:
    """A service, and a client that has received lines."""
    service = make_service(engine)
    engine.run(container, LINES)
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), service.login())
    client.wait_lines(10)
    return service, client


@pytest.mark.timeout(180)
def test_hung_processes_are_replaced_in_time(watched: Watched) -> None:
    """Stop each process for ever: clients lose nothing and wait for at most ten seconds."""
    service, client = watched
    for process in ("container/", "broker", "metrics", "fork-server"):
        old, began = pid_of(service, process), time.monotonic()
        os.kill(old, signal.SIGSTOP)
        row = wait_until(lambda p=process, o=old: replaced(service, p, o), f"another {process}")  # type: ignore[misc]
        assert row is not None
        assert "hung" in str(row["why"])
        assert row["restarts"] == 1
        seen = len(client.lines)
        client.wait_lines(seen + 10)
        assert time.monotonic() - began < INTERRUPTION
        assert not psutil.pid_exists(old)
    doctor = json.loads(service.mist("doctor", "--json", check=False).stdout)
    told = [finding for finding in doctor if finding["subject"] == "process"]
    assert any("broker" in finding["text"] and "hung" in finding["text"] for finding in told)
    client.close()
    assert_run(client, int(client.lines[-1]))
    assert "skipped" not in client.types


@pytest.mark.timeout(120)
def test_a_pause_is_not_a_hang(watched: Watched) -> None:
    """Three seconds cost no process, nor do many of the supervisor's, which forgives its own."""
    service, client = watched
    before = {row["process"]: row["pid"] for row in service.status()}
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)  # the length of a pause is what is tested
    for pid in before.values():
        os.kill(pid, signal.SIGCONT)
    client.wait_lines(len(client.lines) + 10)
    # The children stop while the supervisor cannot see it, for longer than its patience.
    os.kill(service.pid, signal.SIGSTOP)
    pid = before["broker"]
    time.sleep(8.0)
    os.kill(pid, signal.SIGSTOP)
    os.kill(service.pid, signal.SIGCONT)
    time.sleep(2.0)
    os.kill(pid, signal.SIGCONT)
    client.wait_lines(len(client.lines) + 10)
    assert {row["process"]: row["pid"] for row in service.status()} == before
    assert {row["restarts"] for row in service.status()} == {0}
    client.close()
    assert_run(client, int(client.lines[-1]))


@pytest.mark.timeout(60)
def test_hung_web_worker_and_master(make_service: MakeService, engine: PrivateEngine) -> None:
    """A worker that hangs is replaced by its master, and the master by the supervisor."""
    service = make_service(engine)
    master = psutil.Process(pid_of(service, "gunicorn"))
    (worker,) = master.children()
    began = time.monotonic()
    worker.suspend()
    wait_until(lambda: master.children() not in ([], [worker]), "another worker")
    wait_until(lambda: service.answers("/readyz"), "the web tier")
    assert time.monotonic() - began < INTERRUPTION
    began = time.monotonic()
    master.suspend()
    wait_until(lambda: replaced(service, "gunicorn", master.pid), "another master")
    wait_until(lambda: service.answers("/readyz"), "the web tier")
    assert time.monotonic() - began < INTERRUPTION
