"""Logs of containers that are no application's, as admins see them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_kills import assert_complete, counting, kill_broker_and_collector
from tests.integration.test_restarts import end, pid_of
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import MIST, Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

PASSWORD = "correct horse battery staple"
DENIED, NOT_FOUND = 4403, 4404

OpenClient = Callable[..., Client]


def test_messages_are_those_of_an_application(
    engine: PrivateEngine, service: Service, admin: str, container: str, open_client: OpenClient
) -> None:
    """An admin gets status, tail, live lines and end; the collector ends with its viewers."""
    engine.run(container, "seq 6; while [ ! -e /go ]; do sleep 0.05; done; echo last")
    wait_until(lambda: len(engine.lines(container)) == 6, "the first lines")
    url = service.ws_url("container/logs", container=container, tail=3, pos=1)
    client = open_client(url, admin)
    client.wait_lines(3)
    assert len(service.running(f"container/name:{container}")) == 1
    engine.say(container, ": >/go")
    assert client.wait_closed() == 1000
    assert client.types == ["status", *["log"] * 4, "status", "end"]
    assert client.messages[0]["data"]["container"] == container
    assert client.lines == ["4", "5", "6", "last"]
    assert all("pos" in message["data"] for message in client.of_type("log"))
    again = open_client(service.ws_url("container/logs", container=container, stopped=1), admin)
    assert again.wait_closed() == 4409
    wait_until(lambda: not service.running("container/name:"), "the collector's end")


def test_only_admins_learn_that_a_container_exists(
    engine: PrivateEngine, service: Service, admin: str, container: str, open_client: OpenClient
) -> None:
    """Others get the same answer for every name; an admin is told that there is none."""
    engine.run(container, "echo secret; sleep 1000")
    service.add_user(f"{container}@localhost", PASSWORD)
    user = service.login(f"{container}@localhost", PASSWORD)
    for name in (container, f"{container}-none"):
        client = open_client(service.ws_url("container/logs", container=name), user)
        assert client.wait_closed() == DENIED
        assert [message["data"]["message"] for message in client.messages] == ["Permission denied"]
    assert not service.running("container/name:")
    url = service.ws_url("container/logs", container=f"{container}-none")
    client = open_client(url, admin)
    assert client.wait_closed() == NOT_FOUND
    assert client.messages[-1]["data"]["message"] == "Container not found"
    # The engine takes the beginning of an id for a name.
    short = engine.client.inspect_container(container)["Id"][:12]
    client = open_client(service.ws_url("container/logs", container=short), admin)
    assert client.wait_closed() == NOT_FOUND


def test_container_of_an_application_has_one_collector(
    engine: PrivateEngine, service: Service, admin: str, container: str, open_client: OpenClient
) -> None:
    """Its log is collected once, whichever way it is named."""
    engine.run(container, "echo one; sleep 1000")
    number = service.add_app(container, container)
    for name in ({"appId": number}, {"container": container}):
        open_client(service.ws_url("container/logs", **name), admin).wait_lines(1)
    found = [row["process"] for row in service.running("container/")]
    assert f"container/{number}" in found
    assert f"container/name:{container}" not in found


def test_no_line_is_lost_or_repeated_and_the_right_can_be_withdrawn(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """Collectors that are killed continue by their claims; an admin no more is cut off."""
    service = make_service(engine, {"auth.check_seconds": 1}, workers=2)
    service.add_user("ops@localhost", PASSWORD, admin=True)
    cookie, url = service.login(), service.ws_url("container/logs", container=container)
    engine.run(container, counting(300, 8))
    clients = [open_client(url, cookie) for _ in range(2)]
    clients.append(open_client(url, service.login("ops@localhost", PASSWORD)))
    for client in clients:
        client.wait_lines(200)
    end(service, f"container/name:{container}")
    kill_broker_and_collector(service)
    wait_until(lambda: service.running("container/name:"), "another collector")
    os.kill(pid_of(service, "container/name:"), signal.SIGKILL)
    assert_complete(clients, 2_400)
    service.mist("user", "role", "ops@localhost", "user")
    assert clients.pop().wait_closed() == DENIED
    assert [client.code for client in clients] == [None, None]


def test_tap_of_any_container(engine: PrivateEngine, service: Service, container: str) -> None:
    """The topic of a name starts its collector; a name that the engine refuses is no topic."""
    engine.run(container, "echo out; sleep 1000")
    command = (str(MIST), "tap", f"container/name:{container}/")
    with program(command, env=service.environment, stdout=subprocess.PIPE) as tap:
        assert tap.stdout is not None
        records = [json.loads(tap.stdout.readline()) for _ in range(2)]
    assert [record["type"] for record in records] == ["status", "log"]
    done = service.mist("tap", "container/name:-/", check=False)
    assert "no topic begins with 'container/name:-/'" in done.stderr
