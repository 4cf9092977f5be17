"""Tests of the log file and its readers."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bus.subscriber import ask_replay
from bus.wire import MAX_MESSAGE_BYTES, Kind, Message
from mist import messages
from mist.deployments.records import (
    READ_BYTES,
    Reader,
    closing_records,
    is_final,
    status_of,
    status_record,
    text_of,
)
from mist.messages import DeploymentStatus
from mist.store.records import Deployment
from tests.support.bus import Rig
from tests.support.service.programs import kill
from tests.support.wait import wait_until
from workers.deployment.errors import LogFailed
from workers.deployment.log import DeploymentLogFile, RecordPublisher
from workers.deployment.text import Redactor

LIMIT = 1_000_000
FAILED = DeploymentStatus(7, "failed", "building_image", 50, "Deployment failed", "It broke")
SUCCESS = DeploymentStatus(7, "success", "completed", 100, "Deployment complete")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the log."""
    return tmp_path / "deployments/7.ndjson"


@pytest.fixture
def log(path: Path) -> DeploymentLogFile:
    """An empty log."""
    return DeploymentLogFile(path, Redactor(["hunter2"]), LIMIT)


def texts(path: Path) -> list[str | None]:
    """Return the log lines of a file, with None for other messages."""
    return [text_of(record) for record in path.read_bytes().splitlines()]


def test_writes_whole_messages(log: DeploymentLogFile, path: Path) -> None:
    """Each message is a line, secrets are redacted, and an error follows a failed status."""
    log.lines(["one", "my hunter2"], "stderr")
    log.status(FAILED)
    records = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [record["type"] for record in records] == ["log", "log", "status", "error"]
    assert records[1]["data"] == {"line": "my ***", "stream": "stderr"}
    assert records[2]["data"]["error_message"] == records[3]["data"]["message"] == "It broke"


def test_goes_on_where_a_dead_runner_left_it(log: DeploymentLogFile, path: Path) -> None:
    """A second runner continues the log after cutting off an incomplete record."""
    log.lines(["one"])
    log.close()
    with path.open("ab") as file:
        file.write(b'{"type":"log","timest')
    again = DeploymentLogFile(path, Redactor([]), LIMIT)
    again.lines(["two"])
    assert texts(path) == ["one", "two"]


def test_cuts_a_torn_first_record_off(path: Path) -> None:
    """An incomplete first record is cut off, whatever its length."""
    path.parent.mkdir()
    path.write_bytes(b"x" * 100_000)
    DeploymentLogFile(path, Redactor([]), LIMIT).lines(["one"])
    assert texts(path) == ["one"]


def test_is_bounded(path: Path) -> None:
    """A line says that the log reached its limit; statuses are still written."""
    log = DeploymentLogFile(path, Redactor([]), 2_000)
    for number in range(100):
        log.lines([f"line {number}"])
    log.status(SUCCESS)
    found = texts(path)
    assert found[-2] == "The log ends here: it has reached its limit of 2000 bytes."
    assert found[:3] == ["line 0", "line 1", "line 2"]
    assert len(path.read_bytes()) < 2_500
    assert log.finished()


def test_a_full_disk_leaves_whole_records(
    log: DeploymentLogFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk complete records stay, because a client may have read them."""
    log.lines(["one"])
    real = os.write
    monkeypatch.setattr(os, "write", _full_after(120))
    with pytest.raises(LogFailed, match="No space left on device"):
        log.lines(["two", "three"])
    monkeypatch.setattr(os, "write", real)
    log.lines(["four"])
    assert texts(path) == ["one", "two", "four"]


class _full_after:  # noqa: N801 - stands in for a function
    """Simulate a disk with this many bytes left."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: self.room]
        self.room -= len(part)
        return self.write(file, part)


def test_a_log_that_cannot_be_made_says_so_when_it_is_written(tmp_path: Path) -> None:
    """A log that cannot be made raises at the first write, when a failure can be reported."""
    (tmp_path / "deployments").write_text("in the way")
    log = DeploymentLogFile(tmp_path / "deployments/7.ndjson", Redactor([]), LIMIT)
    with pytest.raises(LogFailed, match="cannot be written"):
        log.lines(["one"])
    log.close()


def test_knows_its_last_status(log: DeploymentLogFile) -> None:
    """A log knows its last status, and whether it is final."""
    assert log.last_status() is None
    log.status(DeploymentStatus(7, "building", "building_image", 50, "Building"))
    log.lines(["one"])
    found = log.last_status()
    assert found is not None
    assert (found.progress, log.finished()) == (50, False)
    log.status(FAILED)
    assert (log.last_status(), log.finished()) == (FAILED, True)


def test_only_the_last_record_is_final(log: DeploymentLogFile, path: Path) -> None:
    """Only the last record is final: success, or the error after a failure."""
    log.lines(['{"type":"error"'])
    log.status(FAILED)
    log.status(SUCCESS)
    assert [is_final(record) for record in path.read_bytes().splitlines()] == [
        *(False, False, True, True)
    ]


class TestReader:
    """The reader that the web tier and the command use."""

    def test_reads_nothing_before_there_is_a_file(self, path: Path) -> None:
        """Without a file, as in the queue, the log is empty."""
        assert Reader(path).read() == b""

    def test_reads_whole_lines_only(self, path: Path) -> None:
        """An incomplete line is read once it is complete."""
        path.parent.mkdir()
        path.write_bytes(b"one\ntw")
        reader = Reader(path)
        assert (reader.read(), reader.line) == (b"one", 1)
        assert reader.read() == b""
        with path.open("ab") as file:
            file.write(b"o\nthree\n")
        assert (reader.read(), reader.line) == (b"two\nthree", 3)

    def test_reads_a_line_that_is_longer_than_a_piece(self, path: Path) -> None:
        """A line longer than a read, up to 1 MiB, is returned whole."""
        path.parent.mkdir()
        path.write_bytes(b"x" * (3 * READ_BYTES) + b"\nnext\n")
        reader = Reader(path)
        assert len(reader.read()) == 3 * READ_BYTES
        assert reader.read() == b"next"

    def test_a_reader_beside_a_writer_has_everything_once(
        self, log: DeploymentLogFile, path: Path
    ) -> None:
        """A concurrent reader gets every record once and in order."""
        expected = [str(number) for number in range(2_000)]

        def write() -> None:
            for number in expected:
                log.lines([number])
            log.status(SUCCESS)

        writer = threading.Thread(target=write)
        writer.start()
        reader, found = Reader(path), []

        def read() -> bool:
            found.extend(reader.read(500).splitlines())
            return reader.finished

        wait_until(read, "the last record", every=0.0)
        writer.join(30)
        assert [text_of(record) for record in found[:-1]] == expected
        assert reader.line == len(found)


def test_the_row_stands_in_for_a_log() -> None:
    """A row without a log gives messages of the same shape."""
    row = Deployment(
        id=7,
        app_id=1,
        status="failed",
        stage="",
        progress=0,
        message="Deployment failed",
        error_message="It broke",
        commit_hash=None,
        commit_message=None,
        image=None,
        created_by="ada@example.com",
        rollback_to=None,
        cancelled_by=None,
        created_at="2025-01-15T10:30:00.000000000Z",
        started_at=None,
        finished_at=None,
    )
    found = status_of(status_record(row))
    assert found is not None
    assert (found.stage, found.error_message) == ("pending", "It broke")
    status, error = closing_records(row)
    assert not is_final(status)
    assert is_final(error)
    assert len(closing_records(msgspec.structs.replace(row, status="success"))) == 1


class TestOnTheBus:
    """A log whose records are also published."""

    TOPIC = b"deployment/7"

    @pytest.fixture
    def published(self, rig: Rig, path: Path) -> Iterator[DeploymentLogFile]:
        """A log with a publisher at a broker."""
        publisher = rig.publisher(self.TOPIC)
        records = RecordPublisher(publisher, path, 65_536)
        log = DeploymentLogFile(path, Redactor([]), 100_000_000, records)
        yield log
        log.close()

    def messages(self, rig: Rig, seq: int) -> list[Message]:
        """Return the broker's messages once it has this many records."""
        rig.await_seq(self.TOPIC, seq)
        return ask_replay(rig.context, rig.paths, self.TOPIC).messages

    def test_the_records_of_the_file_are_published(
        self, rig: Rig, published: DeploymentLogFile, path: Path
    ) -> None:
        """Lines are one message; a status and the error have their own kind and close code."""
        published.lines(["one", "two"])
        published.status(FAILED)
        found = self.messages(rig, 4)
        assert [(each.header.kind, each.header.seq, each.header.code) for each in found] == [
            (Kind.LOG, 1, 0),
            (Kind.STATUS, 3, 0),
            (Kind.ERROR, 4, 1000),
        ]
        assert b"\n".join(each.body for each in found) + b"\n" == path.read_bytes()

    def test_a_broker_that_was_away_gets_what_it_missed(
        self, rig: Rig, published: DeploymentLogFile
    ) -> None:
        """Records of that time are published with the next one."""
        published.lines(["one"])
        rig.await_seq(self.TOPIC, 1)
        kill(rig.broker)
        assert published._publisher is not None
        publisher = published._publisher._publisher
        wait_until(lambda: not publisher.service(), "the end of the broker")
        published.lines(["two"])
        assert publisher.next == 2
        rig.start()
        assert publisher.wait(20)
        published.lines(["three"])
        bodies = b"\n".join(each.body for each in self.messages(rig, 3))
        assert [text_of(record) for record in bodies.split(b"\n")] == ["one", "two", "three"]

    def test_a_record_that_is_too_large_is_replaced(
        self, rig: Rig, published: DeploymentLogFile, path: Path
    ) -> None:
        """The broker would refuse it; a notice takes its number."""
        published.lines(["one"])
        with path.open("ab") as file:  # as an earlier version may have written it
            file.write(messages.log("2026-05-01T12:00:00.000Z", "x" * MAX_MESSAGE_BYTES, "stdout"))
            file.write(b"\n")
        published.lines(["three"])
        found = b"\n".join(each.body for each in self.messages(rig, 3)).split(b"\n")
        one, notice, three = map(text_of, found)
        assert (one, three) == ("one", "three")
        assert "bytes is left out" in (notice or "")
