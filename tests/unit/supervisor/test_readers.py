"""Requests for older lines: what the supervisor starts a reader for, and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mist.read_request import LENGTH, Head, ReadRequest
from mist.settings import ReaderSettings, Settings
from mist.status import STATUS_REQUEST, ServiceStatus, StatusRow
from supervisor import specs
from supervisor.readers import Readers
from tests.support.supervisor import World

SETTINGS = Settings(reader=ReaderSettings(max_running=3, max_per_user=2))

# Larger than the buffers of a socket.
STATUS = ServiceStatus(
    "1", 7, "running", "", [StatusRow("container/1", 8, "running", "", 0, "why")] * 5_000
)


def containers(app_ids: Collection[int]) -> dict[int, str]:
    """Return the containers of a store with one application."""
    return {1: "web"} if 1 in app_ids else {}


class Requests:
    """A supervisor in a world without processes, and the web tier's side of the socket."""

    def __init__(self, path: Path) -> None:
        self.world = World()
        self.supervisor = self.world.supervisor(SETTINGS)
        self.readers = Readers(SETTINGS, path, containers, lambda: STATUS)
        self.started: list[Any] = []
        start = self.world.start

        def record(spec: Any, resume: bool) -> Any:
            self.started.append(self.readers.assigned)
            return start(spec, resume)

        self.world.start = record  # type: ignore[method-assign]
        self.supervisor = self.world.supervisor(SETTINGS)
        self._path = path

    def send(self, data: bytes, descriptors: list[int]) -> None:
        """Send a datagram, and let the supervisor take it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self._path))
            socket.send_fds(sender, [data], descriptors)
        self.readers.take(self.supervisor)

    def ask(self, data: bytes) -> Head | None:
        """Send a request; return the refusal, or None if a reader has the connection."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.send(data, [theirs.fileno()])
            theirs.close()
            ours.settimeout(5)
            answer = ours.recv(65_536)
        if not answer:
            return None
        (length,) = LENGTH.unpack(answer[: LENGTH.size])
        return msgspec.json.decode(answer[LENGTH.size :][:length], type=Head)

    def request(self, **fields: Any) -> Head | None:
        """Send a valid request."""
        return self.ask(msgspec.json.encode(ReadRequest(**({"user": "ada"} | fields))))


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[Requests]:
    """A supervisor that takes requests."""
    made = Requests(tmp_path / "readers")
    yield made
    made.readers.close()
    assert not (tmp_path / "readers").exists()


def test_an_application_is_looked_up(requests: Requests) -> None:
    """A reader gets the name of the application's container; there is none without one."""
    assert requests.request(app_id=1) is None
    ((request, connection),) = requests.started
    assert (request.container, request.app_id) == ("web", 1)
    assert connection.fileno() == -1  # the supervisor keeps no copy
    assert requests.request(app_id=2) == Head(404, "Application not found")
    assert requests.request(container="db") is None
    assert [process.spec.name for process in requests.world.started] == ["reader/1", "reader/2"]


def test_bounds(requests: Requests) -> None:
    """Readers are bounded per user and in total, and one that has ended makes room."""
    for user in ("ada", "ada", "bob"):
        assert requests.request(user=user, app_id=1) is None
    refused = requests.request(user="ada", app_id=1)
    assert refused is not None
    assert (refused.status, refused.retry_after) == (429, 2)
    assert "reader.max_per_user" in refused.message
    refused = requests.request(user="bob", app_id=1)
    assert refused is not None
    assert "reader.max_running" in refused.message
    requests.world.started[0].code = 0
    requests.supervisor.reap()
    assert requests.request(user="ada", app_id=1) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b'{"user":"ada"}',
        b'{"user":"ada","app_id":1,"container":"web"}',
        b'{"user":"ada","app_id":-1}',
        b'{"user":"ada","app_id":1,"since":"2025"}',
        b'{"user":"ada","app_id":1,"entry":"os:system"}',
        b'{"user":"ada","app_id":1,"q":"%b"}' % (b"x" * 5_000),
        b'{"user":"%b","app_id":1}' % (b"x" * 100_000),
    ],
    ids=lambda data: data[:40].decode(),
)
def test_anything_else_is_refused(requests: Requests, data: bytes) -> None:
    """The web tier gets nothing but a reader."""
    refused = requests.ask(data)
    assert refused is not None
    assert refused.status == 500
    assert not requests.world.started


def test_status_is_sent_without_waiting(requests: Requests) -> None:
    """The web tier gets the whole table at once, whatever its size, and no reader starts."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        requests.send(STATUS_REQUEST, [theirs.fileno()])
        ours.settimeout(5)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    with open(descriptors[0], "rb") as memory:
        memory.seek(0)
        assert msgspec.json.decode(memory.read(), type=ServiceStatus) == STATUS
    assert not requests.world.started


def test_nobody_waits_for_a_web_tier_that_does_not_read(requests: Requests) -> None:
    """A connection that is full or was closed costs its own answer only."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                theirs.send(b"x" * 65_536)
        theirs.setblocking(True)
        requests.send(STATUS_REQUEST, [theirs.fileno()])
        ours.close()
        requests.send(STATUS_REQUEST, [theirs.fileno()])
    requests.send(STATUS_REQUEST, [])
    test_status_is_sent_without_waiting(requests)


def test_descriptors_that_are_no_connection_are_closed(requests: Requests, tmp_path: Path) -> None:
    """A file or no descriptor at all starts nothing."""
    request = msgspec.json.encode(ReadRequest(user="ada", app_id=1))
    with (tmp_path / "file").open("w") as file:
        requests.send(request, [file.fileno()])
        requests.send(request, [])
        with socket.socket(socket.AF_INET) as other:
            requests.send(request, [other.fileno(), other.fileno()])
    assert not requests.world.started


def test_a_reader_that_cannot_be_started(requests: Requests) -> None:
    """The client gets the reason, and nothing remains in the table."""
    requests.world.refuse_to_start = OSError("no more processes")
    refused = requests.request(app_id=1)
    assert refused is not None
    assert refused.status == 503
    assert "no more processes" in refused.message
    assert not requests.supervisor.children


def test_time_is_bounded(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not end by itself is stopped."""
    monkeypatch.setattr("supervisor.readers.time.monotonic", requests.world.clock)
    assert requests.request(app_id=1) is None
    due = requests.readers.due(requests.supervisor)
    assert due == requests.world.now + SETTINGS.reader.seconds + 5
    requests.readers.tick(requests.supervisor)
    assert not requests.world.last.signals
    requests.world.now = due
    requests.readers.tick(requests.supervisor)
    assert requests.world.last.signals == [15]
    assert requests.readers.due(requests.supervisor) is None


def test_a_service_that_stops_starts_none(requests: Requests) -> None:
    """During a shutdown the answer is 503."""
    requests.supervisor.stop()
    refused = requests.request(app_id=1)
    assert refused is not None
    assert refused.status == 503


def test_only_the_group_may_write(requests: Requests, tmp_path: Path) -> None:
    """The web tier's user is in the group of the socket."""
    assert (tmp_path / "readers").stat().st_mode & 0o777 == 0o660


def test_a_reader_that_ends_by_itself_during_a_shutdown(requests: Requests) -> None:
    """The web tier stops first, which ends its readers before they are asked to."""
    requests.supervisor.add(specs.web(SETTINGS))
    assert requests.request(app_id=1) is None
    reader = requests.world.last
    requests.supervisor.stop()
    assert not reader.signals
    reader.code = 0
    requests.supervisor.reap()
    assert [child.spec.name for child in requests.supervisor.children.values()] == ["gunicorn"]
