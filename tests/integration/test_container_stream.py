"""A container's log from the engine to third-party clients."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable

import pytest
import zmq

from bus.subscriber import events_socket
from mist.settings import Settings
from tests.support.service.clients import Client, WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

RFC3339_NANO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")

#: Writes numbered lines until the file /tmp/stop exists.
UNTIL_STOPPED = "i=0; while [ ! -e /tmp/stop ]; do echo $i; i=$((i+1)); done; sleep 600"


def numbered(count: int, pause_every: int = 0) -> str:
    """Return a script that writes the numbers from 0 to ``count - 1`` and keeps running."""
    pause = f"[ $((i % {pause_every})) = 0 ] && sleep 0.02; " if pause_every else ""
    return f"i=0; while [ $i -lt {count} ]; do echo $i; {pause}i=$((i+1)); done; sleep 600"


def assert_run(client: Client, last: int) -> None:
    """Check that the client's lines are consecutive numbers up to ``last``, once and in order."""
    first = int(client.lines[0])
    assert client.lines == [str(number) for number in range(first, last + 1)]


def test_messages_have_the_documented_shape(
    service: Service, engine: PrivateEngine, container: str, admin: str, client_kind: type[Client]
) -> None:
    """Each client gets status, log lines and end as documented, field by field."""
    engine.run(container, "echo out; echo err >&2; while [ ! -e /tmp/stop ]; do sleep 0.1; done")
    app = service.add_app(f"{container}-{client_kind.kind}", container)
    client = client_kind(service.ws_url("container/logs", appId=app), admin)
    client.wait_lines(2)
    engine.say(container, "true > /tmp/stop")
    assert client.wait_closed() == 1000
    status, *logs, stopped, end = client.messages

    assert status.keys() == {"type", "timestamp", "data"}
    assert RFC3339_NANO.fullmatch(status["timestamp"])
    assert status["data"].keys() == {"container", "state", "status"}
    assert (status["data"]["container"], status["data"]["state"]) == (container, "running")
    assert status["data"]["status"].startswith("Up ")
    assert {(m["data"]["line"], m["data"]["stream"]) for m in logs} == {
        ("out", "stdout"),
        ("err", "stderr"),
    }
    assert all(RFC3339_NANO.fullmatch(m["timestamp"]) for m in logs)
    assert stopped["data"]["state"] == "exited"
    assert end.keys() == {"type", "timestamp", "data"}
    assert (end["type"], end["data"]) == ("end", {"message": "Log stream ended"})


def test_last_hundred_lines_come_first(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A client gets the last hundred lines and then the new ones."""
    engine.run(container, numbered(500))
    wait_until(lambda: len(engine.lines(container)) == 500, "the container to write")
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    client.wait_lines(100)
    engine.say(container, "echo 500")
    client.wait_lines(101)
    assert client.types[0] == "status"
    assert_run(client, 500)
    assert client.lines[0] == "400"


@pytest.mark.parametrize(("tail", "expected"), [(0, 0), (5, 5), (100_000, 1_000)])
def test_tail_reaches_as_far_as_the_replay_buffer(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    open_client: OpenClient,
    tail: int,
    expected: int,
) -> None:
    """``&tail=N`` replaces the default of 100."""
    engine.run(container, numbered(1_500))
    wait_until(lambda: len(engine.lines(container)) == 1_500, "the container to write")
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app, tail=tail), admin)
    client.wait_for(lambda messages: messages)
    engine.say(container, "echo 1500")
    client.wait_lines(expected + 1)
    assert len(client.lines) == expected + 1
    assert_run(client, 1_500)


def test_since_goes_on_right_behind_a_line(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A client that reconnects with its last timestamp misses and repeats nothing."""
    engine.run(container, numbered(300))
    wait_until(lambda: len(engine.lines(container)) == 300, "the container to write")
    app = service.add_app(container, container)
    first = open_client(service.ws_url("container/logs", appId=app, tail=50), admin)
    first.wait_lines(50)
    seen = first.of_type("log")[9]
    url = service.ws_url("container/logs", appId=app, since=seen["timestamp"])
    second = open_client(url, admin)
    second.wait_lines(40)
    assert second.types[:2] == ["status", "log"]
    assert second.lines == first.lines[10:]


def test_since_beyond_the_replay_buffer_says_so(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A client is told about lines that are no longer available."""
    engine.run(container, numbered(3_000))
    wait_until(lambda: len(engine.lines(container)) == 3_000, "the container to write")
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app, since="2020-01-01T00:00:00Z")
    client = open_client(url, admin)
    client.wait_lines(1_000)
    assert client.types[:3] == ["status", "skipped", "log"]
    assert client.of_type("skipped")[0]["data"]["lines"] >= 1
    assert_run(client, 2_999)


def test_twenty_clients_that_join_at_random(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """Every client gets 20,000 numbered lines without a gap, in order, up to the last one."""
    engine.run(container, numbered(20_000, pause_every=100))
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    rest = threading.Event()
    clients: list[Client] = []
    chance = random.Random(1)
    for _ in range(20):
        clients.append(WebsocketsClient(url, admin))
        rest.wait(chance.uniform(0.0, 0.3))
    for client in clients:
        client.wait_for(lambda _, one=client: one.lines[-1:] == ["19999"], 90)  # type: ignore[misc]
        client.close()
        assert_run(client, 19_999)
    assert len({client.lines[0] for client in clients}) > 1


def test_two_clients_are_one_collector_and_none_is_none(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A collector lives from the first client until a linger after the last one."""
    engine.run(container, numbered(3))
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    assert service.running(f"container/{app}") == []
    clients = [open_client(url, admin) for _ in range(2)]
    for client in clients:
        client.wait_lines(3)
    assert len(service.running(f"container/{app}")) == 1
    clients[0].close()
    clients[1].close()
    wait_until(lambda: not service.running(f"container/{app}"), "the collector to go")


def test_stopped_container_shows_its_last_lines_on_request(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """With ``&stopped=1`` the last lines before a crash come before the error."""
    engine.run(container, "echo last words; exit 3")
    wait_until(lambda: engine.state(container) == "exited", "the container to exit")
    app = service.add_app(container, container)
    plain = open_client(service.ws_url("container/logs", appId=app), admin)
    curious = open_client(service.ws_url("container/logs", appId=app, stopped=1), admin)
    assert (plain.wait_closed(), curious.wait_closed()) == (4409, 4409)
    assert plain.types == ["status", "error"]
    assert curious.types == ["status", "log", "error"]
    assert curious.lines == ["last words"]
    problem = {"message": "Container is not running (state: exited)"}
    assert plain.messages[-1]["data"] == curious.messages[-1]["data"] == problem


def test_container_that_was_started_again_is_followed(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A refusal is not remembered: after a restart the container is followed."""
    engine.run(container, "echo begun; while [ ! -e /tmp/stop ]; do sleep 0.1; done")
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    first = open_client(url, admin)
    first.wait_lines(1)
    engine.client.stop(container)
    assert first.wait_closed() == 1000
    engine.client.start(container)
    second = open_client(url, admin)
    second.wait_lines(2)
    assert second.messages[0]["data"]["state"] == "running"


def test_long_lines_and_odd_bytes(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A line of many frames is joined, one over 1 MiB is cut, and bad UTF-8 is replaced."""
    double = (
        "x=0123456789abcdef; n=4; while [ $n -lt {bits} ]; do x=$x$x; n=$((n+1)); done; echo $x"
    )
    script = f"{double.format(bits=17)}; {double.format(bits=21)}; printf 'a\\377b\\033[1mc\\n'"
    engine.run(container, f"{script}; sleep 600")
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    joined, cut, odd = client.wait_lines(3)
    assert joined == "0123456789abcdef" * 2**13
    assert cut == "0123456789abcdef" * 2**16 + " … [truncated]"
    assert odd == "a\ufffdb\x1b[1mc"


def test_terminal_container(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A TTY's stream has no frames, but its lines are still lines."""
    engine.run(container, numbered(50), tty=True)
    app = service.add_app(container, container)
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    client.wait_lines(50)
    assert_run(client, 49)
    assert client.messages[1]["data"]["stream"] == "stdout"


def test_an_application_that_is_made_while_somebody_listens(
    service: Service, engine: PrivateEngine, container: str
) -> None:
    """A collector started by an earlier tap hears of the new application from the supervisor."""
    engine.run(container, "echo made; sleep 600")
    coming = service.add_app(f"{container}-before") + 1
    with (
        zmq.Context() as context,
        events_socket(context, service.paths, Settings()) as tap,
    ):
        tap.subscribe(f"container/{coming}/")
        assert b"Application not found" in received(tap)
        assert service.add_app(container, container) == coming
        wait_until(lambda: b'"made"' in received(tap), "the container's line")


def received(tap: zmq.Socket[bytes]) -> bytes:
    """Return the body of the tap's next message."""
    assert tap.poll(30_000), "nothing comes"
    return tap.recv_multipart()[2]
