"""A reader's process: errors before the first line, and clients that leave."""

from __future__ import annotations

import os
import queue
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mist.settings import EngineSettings
from tests.support.engine_server import EngineServer
from tests.support.reading import Line, Log, limited, numbered, read, run
from workers.reader.main import end_with


@pytest.fixture
def log(server: EngineServer, watched: list[socket.socket]) -> Log:
    """Return a log of ten lines."""
    return Log(server, numbered(10))


def test_the_connection_is_watched_and_closed(
    server: EngineServer, log: Log, watched: list[socket.socket]
) -> None:
    """Close the connection after the answer, which ends it for the client."""
    assert read(server.settings).ended
    (connection,) = watched
    assert connection.fileno() == -1


@pytest.mark.usefixtures("watched")
def test_a_missing_container(server: EngineServer) -> None:
    """Answer 404 without a body."""
    server.answer("/containers/json", [])
    answer = read(server.settings)
    assert (answer.head.status, answer.head.message) == (404, "Container not found")
    assert (answer.body, answer.ended) == (b"", True)


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        ((404, "No such container: web"), 404, "Container not found"),
        ((500, "configured logging driver does not support reading"), 409, "json-file, local"),
        ((501, "configured logging driver does not support reading"), 409, "json-file, local"),
        ((500, "disk on fire"), 503, "The Docker Engine could not read the log: disk on fire"),
    ],
)
def test_the_engine_refuses_the_log(
    server: EngineServer, log: Log, refusal: tuple[int, str], status: int, words: str
) -> None:
    """Tell a container that is gone, an unreadable log driver and other errors apart."""
    log.refuse(*refusal)
    answer = read(server.settings)
    assert (answer.head.status, answer.body, answer.ended) == (status, b"", True)
    assert words in answer.head.message


def test_an_unreachable_engine(server: EngineServer, log: Log, tmp_path: Path) -> None:
    """Answer 503 without the engine's address."""
    engine = EngineSettings(host=f"unix://{tmp_path}/nobody")
    answer = read(msgspec.structs.replace(server.settings, engine=engine))
    assert (answer.head.status, answer.head.message) == (503, "Docker Engine is unreachable")


def test_an_invalid_pattern(server: EngineServer, log: Log) -> None:
    """Answer 400 before the engine is asked."""
    answer = read(server.settings, q="(", regex=True)
    assert answer.head.status == 400
    assert "not a valid RE2 regular expression" in answer.head.message
    assert server.queries == []


@pytest.mark.parametrize("query", [{}, {"q": "(", "regex": True}])
def test_a_client_that_has_left(server: EngineServer, log: Log, query: dict[str, Any]) -> None:
    """End the reader without an error."""
    ours, theirs = socket.socketpair()
    theirs.close()
    run(server.settings, ours, **query)
    assert ours.fileno() == -1


def test_a_client_that_does_not_read(server: EngineServer, log: Log) -> None:
    """End the reader once the client has made no progress for ``reader.stall_seconds``."""
    log.lines = [Line(number, b"x" * 10_000 + b"\n") for number in range(200)]
    ours, theirs = socket.socketpair()
    with theirs:
        run(limited(server.settings, stall_seconds=0.05), ours, format="text")
        assert ours.fileno() == -1
        theirs.settimeout(5)
        received = 0
        while data := theirs.recv(1 << 20):
            received += len(data)
    assert 0 < received < 2_000_000


def test_a_reader_ends_with_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process when the client closes its end, and not before."""
    exits: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", exits.put)
    ours, theirs = socket.socketpair()
    with ours:
        end_with(ours)
        theirs.sendall(b"still here")
        with pytest.raises(queue.Empty):
            exits.get(timeout=0.1)
        theirs.close()
        assert exits.get(timeout=10) == 0
