"""A container's log at a prepared engine, and a client that asks a reader for it."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import pack
from typing import Any, NamedTuple

import msgspec

from mist.paths import Paths
from mist.process import Assignment
from mist.read_request import LENGTH, Head, ReadRequest
from mist.settings import ReaderSettings, Settings
from tests.support.engine_server import EngineServer
from workers.reader import main as reader

ID = "ab" * 32
LOGS = f"/containers/{ID}/logs"
INSPECT = f"/containers/{ID}/json"


class Line(NamedTuple):
    """A line of a log; its time is a number of milliseconds."""

    number: int
    text: bytes
    kind: int = 1

    @property
    def stamp(self) -> str:
        """The time stamp."""
        return stamp(self.number)

    @property
    def framed(self) -> bytes:
        """The line as the engine sends it."""
        payload = self.stamp.encode() + b" " + self.text
        return pack("!BxxxI", self.kind, len(payload)) + payload


def stamp(number: int) -> str:
    """Return the time stamp of the line with this number."""
    return f"2025-01-15T10:30:{number // 1000:02d}.{number % 1000:03d}000000Z"


def numbered(count: int) -> list[Line]:
    """Return lines that name their numbers, alternately on both streams."""
    return [Line(number, b"line %d\n" % number, 1 + number % 2) for number in range(count)]


class Log:
    """The log of the container ``web``, from which lines may be missing."""

    def __init__(self, server: EngineServer, lines: list[Line]) -> None:
        self.lines = lines
        self.damaged: int | None = None
        """The index of the line at which the engine stops silently."""
        self.before: Callable[[str], None] = lambda _tail: None
        """Called before each answer, with the requested number of lines."""
        self.tails: list[str] = []
        """The number of lines in each request: decimal, or "all"."""
        self._server = server
        self.inspection: dict[str, Any] = {
            "Id": ID,
            "Name": "/web",
            "Config": {"Tty": False},
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
        }
        server.answer("/containers/web/json", self.inspection)
        server.answer(INSPECT, self.inspection)
        server.computed[LOGS] = self._answer

    def break_off(self) -> None:
        """Let the log end in the middle of a line."""
        cut = b"".join(line.framed for line in self.lines)[:-1]
        self._server.computed[LOGS] = lambda query: (
            200,
            self.lines[-1].framed if query["tail"] == "1" else cut,
        )

    def refuse(self, status: int, message: str) -> None:
        """Let the engine refuse the log."""
        del self._server.computed[LOGS]
        self._server.answer(LOGS, {"message": message}, status)

    def _answer(self, query: dict[str, str]) -> tuple[int, bytes]:
        self.before(query["tail"])
        self.tails.append(query["tail"])
        count = len(self.lines) if query["tail"] == "all" else int(query["tail"])
        start = max(0, len(self.lines) - count)
        end = len(self.lines)
        if self.damaged is not None and start <= self.damaged:
            end = self.damaged
        return 200, b"".join(line.framed for line in self.lines[start:end])


class Answer(NamedTuple):
    """The frames that a client received."""

    frames: list[bytes]
    ended: bool
    """The frame of length 0 has arrived."""

    @property
    def head(self) -> Head:
        """The first frame."""
        return msgspec.json.decode(self.frames[0], type=Head)

    @property
    def body(self) -> bytes:
        """The HTTP body."""
        return b"".join(self.frames[1:])

    @property
    def records(self) -> list[Any]:
        """The lines of an NDJSON body except for the final record."""
        return [msgspec.json.decode(line) for line in self.body.splitlines()][:-1]

    @property
    def texts(self) -> list[str]:
        """The texts of an NDJSON body."""
        return [record["data"]["line"] for record in self.records]

    @property
    def end(self) -> Any:
        """The data of the final record."""
        record = msgspec.json.decode(self.body.splitlines()[-1])
        assert record["type"] == "end"
        return record["data"]


def receive(connection: socket.socket) -> Answer:
    """Receive an answer up to the end of the connection."""
    data = b""
    while received := connection.recv(1 << 20):
        data += received
    frames: list[bytes] = []
    while data:
        (length,) = LENGTH.unpack(data[: LENGTH.size])
        assert len(data) >= LENGTH.size + length
        frames.append(data[LENGTH.size :][:length])
        data = data[LENGTH.size + length :]
    ended = frames[-1:] == [b""]
    return Answer(frames[:-1] if ended else frames, ended)


def read(settings: Settings, **request: Any) -> Answer:
    """Return the answer of a reader that runs in this process."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    with ours, theirs, ThreadPoolExecutor(1) as client:
        answer = client.submit(receive, theirs)
        run(settings, ours, **request)
        return answer.result(30)


def run(settings: Settings, connection: socket.socket, **request: Any) -> None:
    """Run a reader of the container ``web`` in this process."""
    asked = ReadRequest(**({"user": "ada", "container": "web"} | request))
    paths = Paths(Path("/nowhere"), Path("/nowhere"))
    reader.main(Assignment("reader", 1, 0, False), settings, paths, asked, connection)


def limited(settings: Settings, **reader_settings: Any) -> Settings:
    """Return the settings with other limits for readers."""
    return msgspec.structs.replace(settings, reader=ReaderSettings(**reader_settings))


def unpacked(body: bytes) -> bytes:
    """Return the contents of a complete gzip stream."""
    stream = zlib.decompressobj(31)
    contents = stream.decompress(body)
    assert stream.eof
    return contents
