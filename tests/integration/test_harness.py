"""The tools that the other integration tests rely on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from tests.support.processes import has_ended
from tests.support.service import janitor
from tests.support.service.clients import Client, Refusal
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until


def _converse(connection: ServerConnection) -> None:
    """Send three lines, close with 4404 if the path is /close, and wait for the client."""
    for number in range(3):
        connection.send(json.dumps({"type": "log", "data": {"line": str(number)}}))
    if connection.request is not None and connection.request.path == "/close":
        connection.close(4404, "gone")
    for _ in connection:
        pass


def _refuse(connection: ServerConnection, request: Request) -> Response | None:
    if request.path != "/refuse":
        return None
    return connection.respond(HTTPStatus.UNAUTHORIZED, json.dumps({"message": "log in first"}))


@pytest.fixture
def peer() -> Iterator[str]:
    """The address of a third-party WebSocket server."""
    with serve(_converse, "127.0.0.1", 0, process_request=_refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{_port(server)}"
        server.shutdown()
        thread.join(30)


def _port(server: Server) -> int:
    return int(server.socket.getsockname()[1])


def test_clients_collect(peer: str, client_kind: type[Client]) -> None:
    """Each client collects what is sent and closes when it is told to."""
    client = client_kind(f"{peer}/", "mist_token=x")
    assert client.wait_lines(3) == ["0", "1", "2"]
    client.close()
    assert client.code == 1000


def test_clients_tell_the_close_code(peer: str, client_kind: type[Client]) -> None:
    """Each client reports the code and the reason of the server's close frame."""
    client = client_kind(f"{peer}/close")
    assert client.wait_closed() == 4404
    assert (client.reason, client.lines) == ("gone", ["0", "1", "2"])


def test_clients_tell_a_refusal(peer: str, client_kind: type[Client]) -> None:
    """Each client reports the status and the body of a refused handshake."""
    client = client_kind(f"{peer}/refuse", origin="http://elsewhere.example")
    client.close()
    assert client.refusal == Refusal(401, '{"message": "log in first"}')


@pytest.mark.engine
def test_containers_outlive_the_daemon(own_engine: PrivateEngine) -> None:
    """A container and its log survive a restart and a SIGKILL of the engine."""
    own_engine.run("writer", "echo first; while :; do sleep 1; done")
    own_engine.restart()
    own_engine.say("writer", "echo second")
    own_engine.kill()
    own_engine.start()
    own_engine.say("writer", "echo third >&2")
    wait_until(lambda: len(own_engine.lines("writer")) == 3, "three lines")
    assert own_engine.lines("writer") == ["first", "second", "third"]


@pytest.mark.engine
def test_an_engine_leaves_nothing_behind(own_engine: PrivateEngine) -> None:
    """Daemons, shims, container processes, mounts, sockets, cgroups and the directory are gone."""
    container = own_engine.run("sleeper", "while :; do sleep 1; done")
    inside = psutil.Process(own_engine.client.inspect_container(container)["State"]["Pid"])
    bundle = (
        own_engine.directory / f"containerd/state/io.containerd.runtime.v2.task/moby/{container}"
    )
    socket = Path((bundle / "address").read_text("utf-8").removeprefix("unix://"))
    cgroups = list(Path("/sys/fs/cgroup").glob(f"**/*{container}*"))
    assert socket.exists()
    assert cgroups
    own_engine.kill()
    own_engine.destroy()
    assert has_ended(inside)
    assert not own_engine.directory.exists()
    assert not socket.exists()
    assert not [cgroup for cgroup in cgroups if cgroup.exists()]
    assert janitor.mounts_below(own_engine.directory) == []
