"""Tests of ``/api/status``, with a supervisor that answers as a test chooses."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import msgspec
import pytest

from mist.read_request import refusal
from mist.status import STATUS_REQUEST, ServiceStatus, StatusRow
from mist.store import User
from tests.support.http_api import Api


def ask(api: Api, ada: User, answer: Callable[[socket.socket], object]) -> tuple[int, str]:
    """Return the status and the body of one request, which the supervisor answers."""
    asked: list[bytes] = []

    def serve() -> None:
        data, descriptors, _, _ = socket.recv_fds(supervisor, 65_536, 1)
        asked.append(data)
        with socket.socket(fileno=descriptors[0]) as connection:
            answer(connection)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(api.services.paths.readers))
        supervisor.settimeout(20)
        thread = threading.Thread(target=serve)
        thread.start()
        got = api.ask("GET", "/api/status", ada)
        thread.join(20)
    assert asked == [STATUS_REQUEST]
    return got.status_code, got.text


def test_paths_of_the_service_are_hidden(api: Api, ada: User) -> None:
    """The table is the supervisor's, without the directories of its machine."""
    why = f"cannot open {api.services.paths.runtime}/lock"
    status = ServiceStatus(
        "1", 7, "running", "now", [StatusRow("web", None, "backoff", "now", 3, why)]
    )

    def answer(connection: socket.socket) -> None:
        memory = os.memfd_create("status")
        os.write(memory, msgspec.json.encode(status))
        socket.send_fds(connection, [b"x"], [memory])
        os.close(memory)

    code, text = ask(api, ada, answer)
    assert code == 200
    shown = msgspec.convert(msgspec.json.decode(text)["data"], ServiceStatus)
    row = msgspec.structs.replace(status.processes[0], why="cannot open MIST_RUNTIME/lock")
    assert shown == msgspec.structs.replace(status, processes=[row])


@pytest.mark.parametrize("answer", [b"", refusal(500, "The supervisor does not accept it")])
def test_a_supervisor_of_an_earlier_version(api: Api, ada: User, answer: bytes) -> None:
    """It refuses what it does not know; one that is short of descriptors sends nothing."""
    code, text = ask(api, ada, lambda connection: connection.sendall(answer))
    assert code == 503
    assert "restart it" in text


def test_without_a_supervisor(api: Api, ada: User, bob: User) -> None:
    """The reason has no path; and others learn nothing."""
    got = api.ask("GET", "/api/status", ada)
    assert got.status_code == 503
    assert "the supervisor does not" in got.json["message"]
    assert str(api.services.paths.runtime) not in got.text
    assert api.ask("GET", "/api/status", bob).status_code == 403
    assert api.ask("GET", "/api/status").status_code == 401
