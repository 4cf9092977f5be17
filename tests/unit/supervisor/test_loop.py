"""Tests of the loop with real processes, a broker and a sampler, but without an engine.

The loop runs in the main thread, because only that one gets signals. Another thread acts
on the service and ends it with SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import zmq

from bus.subscriber import events_socket
from mist.errors import BusError, Exit
from mist.paths import Paths
from mist.settings import CollectorSettings, EngineSettings, Settings, SupervisorSettings
from mist.status import StatusRow
from mist.store import Store
from supervisor import specs
from supervisor.control import ask_status
from supervisor.loop import Loop
from supervisor.notify import NotifySocket
from supervisor.signals import HANDLED
from tests.support.wait import wait_until

SETTINGS: Final = Settings(
    engine=EngineSettings(host="unix:///no/such/socket"),
    collector=CollectorSettings(linger_seconds=0.1),
    supervisor=SupervisorSettings(
        backoff_seconds=0.1, backoff_limit_seconds=0.1, crash_limit=2, stop_seconds=20.0
    ),
)

#: Writes its first argument to NOTIFY_SOCKET, then ends as the second one says: on SIGTERM, or
#: at once with a status. It reports a hangup there as well.
_WEB: Final = """
import os, signal, socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])
signal.signal(signal.SIGHUP, lambda *_: open(os.environ["MIST_HOME"] + "/hangup", "w").close())
manager.send(sys.argv[1].encode())
while not sys.argv[2]:
    signal.pause()
sys.exit(int(sys.argv[2]))
"""


def web(says: str, status: str = "") -> tuple[str, ...]:
    """Return the command of a web tier."""
    return (sys.executable, "-c", _WEB, says, status)


class Running(NamedTuple):
    """The other thread's view of the service."""

    paths: Paths
    context: zmq.Context[zmq.Socket[bytes]]
    manager: NotifySocket
    told: list[str]

    def row(self, name: str) -> StatusRow | None:
        """Return a process's row of the table that ``mist status`` prints."""
        try:
            found = ask_status(self.context, self.paths).processes
        except BusError:
            return None
        return next((row for row in found if row.process == name), None)

    def await_row(self, name: str, restarts: int = 0) -> int:
        """Wait until a process runs after this many restarts; return its pid."""

        def runs() -> int | None:
            row = self.row(name)
            wanted = row is not None and (row.state, row.restarts) == ("running", restarts)
            return row.pid if row and wanted else None

        return wait_until(runs, f"{name} to run") or 0

    def await_word(self, word: str) -> None:
        """Wait until the service manager has received this message."""

        def heard() -> bool:
            self.told.extend(name for message in self.manager.take() for name in message)
            return word in self.told

        wait_until(heard, word)


#: ``run(web, events)`` returns the exit status and reason of a service after these events and a
#: SIGTERM; without events the service has to end by itself.
Run = Callable[[tuple[str, ...], Callable[[Running], None] | None], tuple[int, str]]


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return a function that runs a service with a store, directories and a service manager."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    with tempfile.TemporaryDirectory(prefix="mist-", dir="/tmp") as name, zmq.Context() as context:
        paths = Paths(Path(name), Path(name))
        manager = NotifySocket(Path(name) / "manager")
        running = Running(paths, context, manager, [])
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

        def start(
            web: tuple[str, ...], events: Callable[[Running], None] | None
        ) -> tuple[int, str]:
            failures: list[BaseException] = []

            def play(events: Callable[[Running], None]) -> None:
                try:
                    events(running)
                except BaseException as error:
                    failures.append(error)
                # After the service's end, the signal would end the tests.
                if running.row("broker"):
                    os.kill(os.getpid(), signal.SIGTERM)

            loop = Loop(SETTINGS, paths, store, web)
            players = [threading.Thread(target=play, args=(events,))] if events else []
            for player in players:
                player.start()
            status = loop.run()
            for player in players:
                player.join(30)
            if failures:
                raise failures[0]
            return status, loop.reason

        yield start
        manager.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_service_from_its_start_to_its_end(run: Run) -> None:
    """The manager is told of each step, and the loop feeds the watchdog."""

    def events(service: Running) -> None:
        service.await_row("broker")
        service.await_row("metrics")
        for word in ("READY", "WATCHDOG"):
            service.await_word(word)
        assert "STOPPING" not in service.told
        manager.append(service.manager)

    manager: list[NotifySocket] = []
    assert run((), events) == (0, "")
    assert "STOPPING" in [name for message in manager[0].take() for name in message]


def test_demand_starts_a_collector_and_its_end_stops_it(run: Run, store: Store) -> None:
    """Demand starts a collector and its end stops it, even across a crash of the broker."""
    store.apps.add("shop")

    def events(service: Running) -> None:
        service.await_row("metrics")
        with events_socket(service.context, service.paths, SETTINGS) as subscriber:
            subscriber.subscribe(b"container/1/log")
            service.await_row("container/1")
            os.kill(service.await_row("broker"), signal.SIGKILL)
            service.await_row("broker", restarts=1)
        wait_until(lambda: service.row("container/1") is None, "the collector to go")

    assert run((), events) == (0, "")


def test_the_web_tier_makes_the_service_ready(run: Run) -> None:
    """The service is ready when its web tier is; a hangup is forwarded to the web tier."""

    def events(service: Running) -> None:
        service.await_row(specs.WEB)
        service.await_word("READY")
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until((service.paths.home / "hangup").exists, "the hangup")

    assert run(web("READY=1"), events) == (0, "")


def test_a_web_tier_that_gives_up_ends_the_service(run: Run) -> None:
    """A web tier that gives up ends the service with the reason that it reported."""
    told = web("STOPPING=1\nSTATUS=the port is taken", "1")
    assert run(told, None) == (Exit.FAILURE, "the port is taken")
