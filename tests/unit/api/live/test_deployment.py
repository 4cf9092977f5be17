"""Tests of a deployment's clients, who read the log file and the row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from api.live.deployment import DeploymentLog
from api.websocket.connection import Connection
from bus.wire import Header, Kind, Message
from mist import messages
from mist.deployments.records import status_record
from mist.errors import StoreError
from mist.settings import StreamSettings
from mist.store import Deployment
from tests.unit.api.live.test_channel import Client

PENDING = Deployment(
    id=7,
    app_id=1,
    status="pending",
    stage="pending",
    progress=0,
    message="1st in the queue",
    error_message="",
    commit_hash=None,
    commit_message=None,
    image=None,
    created_by="admin@localhost",
    rollback_to=None,
    cancelled_by=None,
    created_at="2025-01-15T10:30:00.000000000Z",
    started_at=None,
    finished_at=None,
)
BUILDING = structs.replace(PENDING, status="building", stage="cloning_repo", progress=25)
FAILED = structs.replace(PENDING, status="failed", stage="building_image", error_message="no disk")
SUCCESS = structs.replace(PENDING, status="success", stage="completed", progress=100)


class Bench:
    """A deployment with a row, a file and a listener."""

    def __init__(self, folder: Path, streams: StreamSettings | None = None) -> None:
        self.line = 0
        self.row = PENDING
        self.path = folder / "7.ndjson"
        self.away = False
        self.on_load: Callable[[], None] = lambda: None
        self.listener = DeploymentLog(streams or StreamSettings(), self.path, self._load)

    def _load(self) -> Deployment:
        self.on_load()
        if self.away:
            raise StoreError("the database is locked")
        return self.row

    def join(self) -> Client:
        """Add a client."""
        client = Client()
        self.listener.add(cast(Connection, client))
        return client

    def write(self, *records: bytes) -> None:
        """Append records to the file without delivering them on the bus."""
        with self.path.open("ab") as file:
            file.writelines(record + b"\n" for record in records)
        self.line += len(records)

    def publish(self, *records: bytes) -> None:
        """Append records to the file and deliver them on the bus."""
        first = self.line + 1
        self.write(*records)
        self.deliver(first, *records)

    def deliver(self, first: int, *records: bytes, epoch: int = 1) -> None:
        """Deliver records on the bus, the first with this number."""
        header = Header(Kind.LOG, epoch, epoch, first, len(records))
        self.listener.feed(Message(b"deployment/7/log", header, b"\n".join(records)))
        self.listener.flush()


def line(text: str) -> bytes:
    """Return a log record."""
    return messages.log("2025-01-15T10:30:00.000000000Z", text, "stdout")


def test_pending_deployment_says_its_place_in_the_queue(tmp_path: Path) -> None:
    """Until the file exists, the client receives the row's message whenever it changes."""
    bench = Bench(tmp_path)
    client = bench.join()
    bench.row = structs.replace(PENDING, message="next")
    bench.listener.reconcile()
    bench.listener.reconcile()
    assert [m["data"]["message"] for m in client.received] == ["1st in the queue", "next"]


def test_a_place_that_a_newcomer_is_told_first_is_told_to_all(tmp_path: Path) -> None:
    """A new queue position that a new client sees first is sent once to every client."""
    bench = Bench(tmp_path)
    early = bench.join()
    bench.row = structs.replace(PENDING, message="next")
    late = bench.join()
    bench.listener.reconcile()
    assert [m["data"]["message"] for m in early.received] == ["1st in the queue", "next"]
    assert [m["data"]["message"] for m in late.received] == ["next"]


def test_the_file_begins_between_two_looks(tmp_path: Path) -> None:
    """The file's first status is not preceded by the row's, which is already ahead of it."""
    bench = Bench(tmp_path)
    bench.on_load = lambda: bench.write(status_record(PENDING), status_record(BUILDING))
    bench.row = BUILDING
    client = bench.join()
    assert [m["data"]["progress"] for m in client.received] == [0, 25]


def test_everybody_gets_the_whole_file(tmp_path: Path) -> None:
    """A client that joins late gets the same text as one that was there from the start."""
    bench = Bench(tmp_path)
    bench.write(line("one"))
    early = bench.join()
    bench.publish(line("two"))
    late = bench.join()
    bench.publish(line("three"))
    assert early.lines() == late.lines() == ["one", "two", "three"]


def test_a_line_costs_no_read_of_file_or_store(tmp_path: Path) -> None:
    """Bus messages are sent to any number of clients without reading the file or the store."""
    bench = Bench(tmp_path)
    bench.publish(line("one"))
    clients = [bench.join() for _ in range(100)]
    looks: list[None] = []
    bench.on_load = lambda: looks.append(None)
    bench.path.rename(tmp_path / "away")
    bench.deliver(2, line("two"))
    bench.deliver(3, status_record(BUILDING))
    assert {tuple(client.types()) for client in clients} == {("log", "status")}
    assert {tuple(client.lines()) for client in clients} == {("one", "two")}
    assert not looks


def test_what_the_bus_lost_is_in_the_file(tmp_path: Path) -> None:
    """A gap in the numbers makes the listener read the file."""
    bench = Bench(tmp_path)
    client = bench.join()
    bench.publish(line("one"))
    bench.write(line("two"), line("three"))
    bench.publish(line("four"))
    assert client.lines() == ["one", "two", "three", "four"]


def test_the_last_line_that_the_bus_lost_is_found(tmp_path: Path) -> None:
    """A lost last line is found, although no later number reveals it."""
    bench = Bench(tmp_path)
    client = bench.join()
    bench.publish(line("one"))
    bench.write(line("two"))
    bench.listener.reconcile()
    assert client.lines() == ["one", "two"]


def test_a_runner_that_publishes_everything_again_repeats_nothing(tmp_path: Path) -> None:
    """A second runner repeats the numbers in a new epoch, and no line is sent twice."""
    bench = Bench(tmp_path)
    client = bench.join()
    bench.publish(line("one"), line("two"))
    bench.write(line("three"))
    bench.deliver(1, line("one"), epoch=2)
    bench.deliver(2, line("two"), line("three"), epoch=2)
    bench.deliver(4, line("four"), epoch=2)
    assert client.lines() == ["one", "two", "three", "four"]


def test_a_client_that_falls_off_the_ring_misses_nothing(tmp_path: Path) -> None:
    """A client that falls off the ring continues from the file and rejoins the ring."""
    bench = Bench(tmp_path, StreamSettings(ring_lines=3))
    quick, slow = bench.join(), bench.join()
    source, slow.source = slow.source, None
    for number in range(20):
        bench.publish(line(str(number)))
    slow.source = source
    slow.flush()
    bench.path.rename(tmp_path / "away")
    bench.deliver(21, line("20"))
    assert quick.lines() == slow.lines() == [str(number) for number in range(21)]


def test_clients_read_the_file_up_to_the_ring(tmp_path: Path) -> None:
    """Clients read the file up to the ring, whichever part of the file the ring holds."""
    bench = Bench(tmp_path, StreamSettings(ring_lines=5))
    bench.write(*(line(str(number)) for number in range(10)))
    clients = [bench.join()]
    for number in range(10, 30):
        bench.publish(line(str(number)))
        clients.append(bench.join())
    wanted = [str(number) for number in range(30)]
    assert all(client.lines() == wanted for client in clients)


def test_the_last_record_has_the_row_looked_at(tmp_path: Path) -> None:
    """The last record triggers a look at the row, and the clients are closed once both agree."""
    bench = Bench(tmp_path)
    bench.row = BUILDING
    client = bench.join()
    bench.publish(line("one"))
    bench.row = SUCCESS
    bench.publish(status_record(SUCCESS))
    assert client.types() == ["log", "status"]
    assert client.code == 1000


def test_much_that_the_bus_lost_is_sent_before_the_end(tmp_path: Path) -> None:
    """A loss larger than the ring is sent completely before the end."""
    bench = Bench(tmp_path, StreamSettings(ring_lines=4))
    bench.row = BUILDING
    client, slow = bench.join(), bench.join()
    source, slow.source = slow.source, None
    count = 12
    bench.write(*(line(str(number) + "x" * 1_000_000) for number in range(count)))
    bench.write(status_record(SUCCESS))
    bench.row = SUCCESS
    for _ in range(count):
        bench.listener.reconcile()
    slow.source = source
    slow.flush()
    assert [text.rstrip("x") for text in client.lines()] == [str(n) for n in range(count)]
    assert client.received == slow.received
    assert client.types() == ["log", "status"]
    assert client.code == slow.code == 1000


def test_line_being_written_is_left_for_later(tmp_path: Path) -> None:
    """An incomplete record is left until it is whole."""
    bench = Bench(tmp_path)
    whole = line("one") + b"\n"
    bench.path.write_bytes(whole[:20])
    client = bench.join()
    bench.path.write_bytes(whole)
    bench.listener.reconcile()
    assert client.lines() == ["one"]


def test_finished_deployment_ends_with_1000(tmp_path: Path) -> None:
    """The end is taken from the file and not repeated from the row."""
    bench = Bench(tmp_path)
    bench.row = SUCCESS
    bench.write(line("one"), status_record(SUCCESS))
    client = bench.join()
    assert client.types() == ["log", "status"]
    assert client.code == 1000
    assert bench.listener.clients == 0


def test_end_that_found_no_room_comes_from_the_row(tmp_path: Path) -> None:
    """If a full disk swallowed the last records, the client gets the end from the row."""
    bench = Bench(tmp_path)
    bench.write(line("one"))
    client = bench.join()
    bench.row = FAILED
    bench.listener.reconcile()
    assert client.types() == ["log", "status", "error"]
    assert client.received[-1]["data"]["message"] == "no disk"
    assert client.code == 1000


def test_cancelled_before_it_began_has_no_file(tmp_path: Path) -> None:
    """The row alone tells how a deployment ended that was cancelled before it began."""
    bench = Bench(tmp_path)
    bench.row = FAILED
    client = bench.join()
    assert client.types() == ["status", "error"]


def test_a_store_that_is_away_ends_no_stream(tmp_path: Path) -> None:
    """An unavailable store is asked again; until then the file and the bus continue."""
    bench = Bench(tmp_path)
    bench.away = True
    client = bench.join()
    bench.write(line("one"))
    bench.listener.reconcile()
    assert client.lines() == ["one"]
    bench.away, bench.row = False, SUCCESS
    bench.listener.reconcile()
    assert client.code == 1000


@pytest.mark.parametrize("row", [PENDING, BUILDING, FAILED, SUCCESS])
def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path, row: Deployment) -> None:
    """The client gets one error without the path; the operator gets an event with the path."""
    bench = Bench(tmp_path)
    bench.row = row
    bench.path.mkdir()  # not readable as a file, even by root
    with capture_logs() as events:
        client = bench.join()
        bench.listener.reconcile()
    assert [message["type"] for message in client.received] == ["error"]
    assert str(tmp_path) not in str(client.received)
    assert client.code == 1011
    assert bench.listener.clients == 0
    assert [(event["event"], event["path"]) for event in events] == [
        ("deployment_log_not_read", str(bench.path))
    ]


def test_a_log_that_cannot_be_read_any_more_is_an_error(tmp_path: Path) -> None:
    """Clients of the ring are told when the log becomes unreadable, because it may have gaps."""
    bench = Bench(tmp_path)
    bench.row = BUILDING
    clients = [bench.join(), bench.join()]
    bench.publish(line("one"))
    bench.path.unlink()
    bench.path.mkdir()
    with capture_logs() as events:
        bench.listener.reconcile()
    assert {tuple(client.types()) for client in clients} == {("log", "error")}
    assert {client.code for client in clients} == {1011}
    assert len(events) == 1
