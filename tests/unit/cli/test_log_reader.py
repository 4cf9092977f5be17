"""Tests of the answers of readers, as the terminal takes them."""

from __future__ import annotations

import select
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.log_reader import BrokenOff, LogReader
from mist import messages
from mist.errors import BusError, EngineError, Exit, MistError
from mist.messages import LogMessage
from mist.paths import Paths
from mist.read_request import ReadRequest, frame, refusal
from mist.settings import ReaderSettings, Settings
from tests.support.reader_socket import END, HEAD, ReaderSocket, reader_socket

STAMP = "2025-01-15T10:30:00.000000000Z"
REQUEST = ReadRequest(user="terminal", container="web", q="x")
LOG = b"".join(messages.log(STAMP, text, "stderr") + b"\n" for text in ("one", "zwei\x85", ""))


def final(**data: object) -> bytes:
    """Return the final record."""
    values = {"lines": 3, "matched": 3, "complete": not data, "reached": STAMP} | data
    return msgspec.json.encode({"type": "end", "timestamp": STAMP, "data": values}) + b"\n"


@pytest.fixture
def paths() -> Iterator[Paths]:
    """A directory for the socket."""
    with tempfile.TemporaryDirectory(prefix="mist-") as directory:  # a path of a socket is short
        yield Paths(Path(directory), Path(directory))


@pytest.fixture
def readers(paths: Paths) -> Iterator[ReaderSocket]:
    """A supervisor that answers as the test says."""
    with reader_socket(paths.readers) as readers:
        yield readers


def taken(paths: Paths, settings: Settings | None = None) -> tuple[LogReader, list[LogMessage]]:
    """Return a reader that is done, and its lines."""
    reader = LogReader(settings or Settings(), paths, REQUEST)
    lines = []
    try:
        while not reader.done:
            select.select([reader], [], [], 20.0)
            lines += reader.take()
    finally:
        reader.close()
    return reader, lines


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_lines(paths: Paths, readers: ReaderSocket, size: int) -> None:
    """Records may be split anywhere."""
    body = LOG + final()
    parts = [frame(body[start : start + size]) for start in range(0, len(body), size)]
    readers.answer = HEAD + b"".join(parts) + END
    reader, lines = taken(paths)
    assert [line.data.line for line in lines] == ["one", "zwei\x85", ""]
    assert {(line.timestamp, line.data.stream) for line in lines} == {(STAMP, "stderr")}
    assert (reader.failure, readers.request) == ("", REQUEST)


def test_incomplete_answer(paths: Paths, readers: ReaderSocket) -> None:
    """The final record says why lines are missing."""
    readers.answer = HEAD + frame(LOG + final(message="the disk is gone")) + END
    reader, lines = taken(paths)
    assert (len(lines), reader.failure) == (3, "the disk is gone")


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + frame(LOG), HEAD + frame(LOG)[:-1]])
def test_answer_that_is_broken_off(paths: Paths, readers: ReaderSocket, answer: bytes) -> None:
    """An answer without its final record is an error after its lines."""
    readers.answer = answer
    with pytest.raises(BrokenOff, match="ended unexpectedly"):
        taken(paths)


@pytest.mark.parametrize(
    ("status", "kind", "exit_status"),
    [
        (404, MistError, Exit.FAILURE),
        (409, MistError, Exit.FAILURE),
        (429, EngineError, Exit.UNAVAILABLE),
        (503, EngineError, Exit.UNAVAILABLE),
    ],
)
def test_refusal(
    paths: Paths, readers: ReaderSocket, status: int, kind: type[MistError], exit_status: Exit
) -> None:
    """A refusal is an error with its text."""
    readers.answer = refusal(status, "so it is")
    with pytest.raises(kind, match=r"^so it is$") as error:
        taken(paths)
    assert error.value.exit_status == exit_status


def test_answer_that_does_not_begin(paths: Paths, readers: ReaderSocket) -> None:
    """A supervisor that does not answer in time is an error, and the request is withdrawn."""
    readers.answer, readers.stays = b"", True
    settings = Settings(reader=ReaderSettings(start_seconds=0.1))
    reader = LogReader(settings, paths, REQUEST)
    assert reader.take() == []
    assert select.select([reader], [], [], max(0.0, reader.due - time.monotonic()))[0] == []
    with pytest.raises(BusError, match="no reader answers; run `mist status`"):
        reader.take()
    reader.close()
    assert readers.client_left.wait(20)


def test_no_supervisor(paths: Paths) -> None:
    """Without a socket, no service runs."""
    with pytest.raises(BusError, match=r"no supervisor takes requests on .*; is mist up\?"):
        LogReader(Settings(), paths, REQUEST)
