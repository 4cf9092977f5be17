"""Tests of when the engine is asked for its counts, and of what is shown without an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.messages import Docker
from mist.settings import EngineSettings, MetricsSettings, Settings
from tests.support.wait import wait_until
from workers.metrics.counts import UNKNOWN, Agenda, Counts

PATIENCE = 20.0


def test_figures_are_read_at_once() -> None:
    """The first reading is due at once."""
    assert Agenda(30.0).due() < 0.0


def test_figures_are_read_seldom_while_nothing_changes() -> None:
    """Without changes the counts are read rarely, in case a change was not reported."""
    agenda = Agenda(30.0)
    agenda.read(100.0)
    assert agenda.due() == 130.0


def test_change_is_read_within_a_second() -> None:
    """A change is read at most a second after the last reading."""
    agenda = Agenda(30.0)
    agenda.read(100.0)
    agenda.changed(100.2)
    assert agenda.due() == 101.0


def test_change_is_read_until_it_has_settled() -> None:
    """A change is read again, because the engine counts some changes later than it reports them."""
    agenda = Agenda(30.0)
    agenda.changed(100.0)
    agenda.read(100.1)
    assert agenda.due() == 101.1
    agenda.read(102.5)
    assert agenda.due() == 110.0
    agenda.read(110.0)
    assert agenda.due() == 140.0


class FakeEngine:
    """An engine that can be told to hang: it then accepts requests without answering."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.hangs = threading.Event()
        self._events: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End as a killed daemon does."""
        if self._server.fileno() >= 0:
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._events:
            connection.close()

    def report(self) -> None:
        """Report a change."""
        self._events[-1].sendall(b'{"Type":"container","Action":"start"}\n')

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            target = connection.recv(65_536).split()[1].partition(b"?")[0].decode()
            self.asked.append(target)
            if self.hangs.is_set():
                self._events.append(connection)
            elif target == "/events":
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                self._events.append(connection)
            else:
                running = self.asked.count("/info")
                body = b'{"ContainersRunning":%d,"Containers":8,"Images":12}' % running
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
                connection.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """An engine that can hang."""
    engine = FakeEngine(tmp_path / "d.sock")
    yield engine
    engine.close()


@pytest.fixture
def counts(engine: FakeEngine, tmp_path: Path) -> Iterator[Counts]:
    """The engine's counts, shown for 0.6 s after its last answer."""
    assert engine
    settings = Settings(
        engine=EngineSettings(host=f"unix://{tmp_path / 'd.sock'}", timeout_seconds=0.5),
        metrics=MetricsSettings(stale_seconds=0.6),
    )
    counts = Counts(settings)
    counts.start()
    yield counts
    counts.stop()


def test_unknown_before_the_first_answer(tmp_path: Path) -> None:
    """Counts are unknown before the first answer, and asking for them does not block."""
    assert (
        Counts(Settings(engine=EngineSettings(host=f"unix://{tmp_path}/none"))).figures() == UNKNOWN
    )


def test_change_is_counted(engine: FakeEngine, counts: Counts) -> None:
    """The counts follow a reported change; otherwise there are only pings."""
    wait_until(lambda: counts.figures() == Docker(1, 8, 12), "the figures")
    wait_until(lambda: engine.asked.count("/_ping") >= 3, "three pings")
    assert engine.asked.count("/info") == 1
    engine.report()
    wait_until(lambda: (counts.figures().containers_running or 0) >= 2, "the change")


def test_hanging_engine_is_unknown(engine: FakeEngine, counts: Counts) -> None:
    """A hanging engine's counts become unknown, and return with its answers."""
    wait_until(lambda: counts.figures() != UNKNOWN, "figures")
    engine.hangs.set()
    wait_until(lambda: counts.figures() == UNKNOWN, "unknown figures")
    engine.hangs.clear()
    wait_until(lambda: counts.figures() != UNKNOWN, "figures")


def test_engine_that_goes_and_comes(engine: FakeEngine, counts: Counts, tmp_path: Path) -> None:
    """A daemon's end shows at once, and the next daemon is found."""
    wait_until(lambda: counts.figures() != UNKNOWN, "figures")
    engine.close()
    wait_until(lambda: counts.figures() == UNKNOWN, "unknown figures")
    (tmp_path / "d.sock").unlink()
    successor = FakeEngine(tmp_path / "d.sock")
    wait_until(lambda: counts.figures() != UNKNOWN, "figures")
    successor.close()
