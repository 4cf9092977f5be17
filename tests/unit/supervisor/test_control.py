"""Tests of the control socket with a real client."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from mist import clock
from mist.errors import BusError, Exit
from mist.paths import Paths
from mist.status import ServiceStatus, StatusRow
from supervisor import specs
from supervisor.control import Context, Control, ask_status, rows
from tests.support.supervisor import History
from tests.unit.supervisor.test_supervisor import SETTINGS

STATUS = ServiceStatus(
    "1", 7, "running", clock.now(), [StatusRow("broker", 8, "running", "", 0, "always")]
)


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Directories with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mist-") as name:
        yield Paths(Path(name), Path(name))


@contextmanager
def answering(context: Context, paths: Paths) -> Iterator[None]:
    """A supervisor that only answers requests."""
    control = Control(context, paths, lambda: STATUS)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if control.socket.poll(20):
                control.answer()
        control.socket.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def test_status_travels(paths: Paths) -> None:
    """The client receives the supervisor's status."""
    with zmq.Context() as context, answering(context, paths):
        assert ask_status(context, paths) == STATUS


@pytest.mark.parametrize(
    ("request_", "field"), [(b"hello", "version"), (b"status", "processes"), (b"?", "error")]
)
def test_requests(paths: Paths, request_: bytes, field: str) -> None:
    """Unknown requests are refused."""
    with zmq.Context() as context, answering(context, paths), context.socket(zmq.REQ) as asker:
        asker.rcvtimeo = 5_000
        asker.connect(paths.endpoint("control"))
        asker.send(request_)
        assert field in msgspec.json.decode(asker.recv())


def test_nobody_answers(paths: Paths) -> None:
    """A missing supervisor is reported with advice and EX_UNAVAILABLE."""
    with zmq.Context() as context, pytest.raises(BusError, match="mist up") as raised:
        ask_status(context, paths, timeout=0.05)
    assert raised.value.exit_status is Exit.UNAVAILABLE


def test_rows_tell_the_table() -> None:
    """The status has one row for each child; one without a process has no pid."""
    history = History(SETTINGS)
    history.supervisor.add(specs.broker(SETTINGS))
    history.subscribe(b"container/1/log")
    history.ends(history.world.last, 1)
    now = history.world.clock()
    broker, collector = rows(history.supervisor.children.values(), now, history.supervisor.watch)
    assert (broker.process, broker.pid, broker.state) == ("broker", 100, "running")
    assert (collector.pid, collector.state) == (None, "backoff")
    assert collector.why == "crashed: exit status 1"
