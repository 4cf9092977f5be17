"""Tests of the engine's events, with an engine that says when something happens."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mist.settings import EngineSettings, Settings
from workers.container.events import ContainerEvents


class Engine:
    """An engine on a Unix socket that answers each request in the same way."""

    def __init__(self, path: Path) -> None:
        self.settings = Settings(engine=EngineSettings(host=f"unix://{path}", timeout_seconds=10))
        self.status = b"200 OK"
        self.filters: list[dict[str, list[str]]] = []
        self.streams: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Hang up and stop."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for stream in (self._listener, *self.streams):
            stream.close()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            target = stream.recv(65_536).split()[1].decode()
            query = parse_qs(urlsplit(target).query)
            self.filters.append(json.loads(query["filters"][0]))
            self.streams.append(stream)
            if self.status:
                stream.sendall(b"HTTP/1.0 " + self.status + b"\r\n\r\n")
            if self.status.startswith(b"403"):
                stream.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Run an engine."""
    made = Engine(tmp_path / "s")
    yield made
    made.close()


@pytest.fixture
def wake() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe, in place of the bus."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def readable(events: ContainerEvents, seconds: float = 0.0) -> bool:
    """Return True if the descriptor is readable."""
    return bool(select.select([events.descriptor], [], [], seconds)[0])


def test_event_wakes_and_is_noticed_once(engine: Engine, wake: tuple[int, int]) -> None:
    """The descriptor wakes for an event of the container, and for the bus."""
    events = ContainerEvents(engine.settings, wake[0])
    assert not events.happened()
    assert events.follow("a" * 64)
    assert not events.follow("a" * 64)
    assert engine.filters == [
        {"container": ["a" * 64], "event": ["pause", "unpause", "health_status"]}
    ]
    assert not readable(events)
    engine.streams[0].sendall(b'{"Action":"pause"}\n{"Action":"unpause"}\n')
    assert readable(events, 10)
    assert events.happened()
    assert not events.happened()
    assert not readable(events)
    os.write(wake[1], b"x")
    assert readable(events, 10)
    assert not events.happened()


def test_another_container_has_events_of_its_own(engine: Engine, wake: tuple[int, int]) -> None:
    """The events of a container that was left are not followed any more."""
    events = ContainerEvents(engine.settings, wake[0])
    events.follow("a")
    assert events.follow("b")
    assert engine.filters[1]["container"] == ["b"]
    assert engine.streams[0].recv(1) == b""


def test_events_that_break_off_are_followed_again(engine: Engine, wake: tuple[int, int]) -> None:
    """A proxy that cuts the connection is a reason to look, and does not keep the loop busy."""
    events = ContainerEvents(engine.settings, wake[0])
    events.follow("a")
    engine.streams[0].shutdown(socket.SHUT_RDWR)
    assert readable(events, 10)
    assert events.happened()
    assert not readable(events)
    assert not events.happened()
    assert events.follow("a")


def test_engine_that_forbids_events(engine: Engine, wake: tuple[int, int]) -> None:
    """Where a proxy forbids the events, there are none, and they are asked for again later."""
    engine.status = b"403 Forbidden"
    events = ContainerEvents(engine.settings, wake[0])
    assert not events.follow("a")
    assert not events.happened()
    engine.status = b"200 OK"
    assert events.follow("a")


def test_engine_that_says_nothing(engine: Engine, wake: tuple[int, int]) -> None:
    """Where a proxy holds the answer back until there is an event, nothing waits for it."""
    engine.status = b""
    events = ContainerEvents(engine.settings, wake[0])
    begun = time.monotonic()
    assert events.follow("a")
    assert time.monotonic() < begun + 5
    assert not events.follow("a")
    assert not events.happened()
    engine.streams[0].sendall(b'HTTP/1.0 200 OK\r\n\r\n{"Action":"pause"}\n')
    assert readable(events, 10)
    assert events.happened()
