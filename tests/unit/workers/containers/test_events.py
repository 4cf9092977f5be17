"""Tests of the engine's events about all containers, with an engine that answers late."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.settings import EngineSettings, Settings
from tests.support.wait import wait_until
from workers.containers.events import EventStream
from workers.engine import EngineRefused

EVENT = b'{"Actor":{"ID":"%s"}}\n'


@pytest.fixture
def late(tmp_path: Path) -> Iterator[tuple[EventStream, socket.socket]]:
    """A stream whose request has no answer yet, and the engine's side of it."""
    path = tmp_path / "engine"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        settings = Settings(engine=EngineSettings(host=f"unix://{path}", timeout_seconds=10))
        stream = EventStream(settings)
        engine, _ = listener.accept()
    with engine:
        yield stream, engine
    stream.close()


def test_an_answer_in_pieces(late: tuple[EventStream, socket.socket]) -> None:
    """Events count from the end of the head on, wherever it is divided."""
    stream, engine = late
    found: set[str] = set()
    data = b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + EVENT % b"one" + EVENT % b"two"
    for place in range(0, len(data), 7):
        assert not found or stream.begun
        engine.sendall(data[place : place + 7])
        found |= stream.take()
    assert stream.begun
    assert found == {"one", "two"}


def test_a_late_refusal(late: tuple[EventStream, socket.socket]) -> None:
    """It is one, and not the beginning of the events."""
    stream, engine = late
    assert stream.take() == set()
    assert not stream.begun
    engine.sendall(b"HTTP/1.0 403 Forbidden\r\n\r\n<h1>Forbidden</h1>")
    with pytest.raises(EngineRefused, match="HTTP status 403"):
        wait_until(stream.take, "an event")
