"""Yardsticks from the engine: its command line, and its raw follow stream."""

from __future__ import annotations

import select
import shlex
import socket
import subprocess
import time
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from bench.processes import BenchError

_READ_BYTES: Final = 262_144
_FRAME_HEAD: Final = 8
# How long to wait for data from the engine, in seconds.
_TIMEOUT: Final = 120.0


class DockerLogs:
    """A running ``docker logs``, whose lines are counted but not parsed.

    With ``needle``, ``grep -F`` looks for that text in them.
    """

    def __init__(self, host: str, container: str, *options: str, needle: str = "") -> None:
        command = ["docker", "--host", host, "logs", *options, container]
        if needle:
            search = f"{shlex.join(command)} | grep -F -e {shlex.quote(needle)}"
            command = ["sh", "-c", search]
        self._name = f"docker logs {' '.join(options)} {container}"
        self._count = 0
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the containers write to standard output only
            stdin=subprocess.DEVNULL,
            bufsize=0,  # select() must see what is readable
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdout is not None
        # Also after success: a following process does not end by itself.
        self._process.kill()
        self._process.stdout.close()
        self._process.wait(_TIMEOUT)

    def read(self, lines: int) -> float:
        """Read until there are ``lines`` lines; return the time when there were."""
        while self._count < lines:
            piece = self._read()
            if not piece:
                raise BenchError(f"{self._name} printed {self._count} lines of {lines}")
            self._count += piece.count(b"\n")
        return time.monotonic()

    def finish(self) -> None:
        """Wait until the process ends by itself."""
        while self._read():
            pass
        self._process.wait(_TIMEOUT)

    def _read(self) -> bytes:
        """Return the next data, or ``b""`` at the end; raise BenchError on a timeout."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _TIMEOUT)[0]:
            raise BenchError(f"{self._name} stopped after {self._count} lines")
        return self._process.stdout.read(_READ_BYTES) or b""


class Follow:
    """The raw follow stream of one container, read from a plain socket."""

    def __init__(self, sent: Sequence[int]) -> None:
        self._sent = sent

    def open(self, path: str, container: str) -> None:
        """Follow from the end ("Get container logs" in the Engine API).

        The engine responds before it seeks to the end, and when busy it leaves out lines
        written in between.  It sends the last existing line first, which shows that it is
        following.
        """
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT)
        self._socket.connect(path)
        query = "follow=1&stdout=1&stderr=1&timestamps=1&tail=1"  # one line of history, see above
        # HTTP/1.0, so that the response is not chunked.
        request = f"GET /containers/{container}/logs?{query} HTTP/1.0\r\nHost: engine\r\n\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._more(head)
        self._rest = head.partition(b"\r\n\r\n")[2]
        while not self._take(array("d"), 0):  # until the last existing line has arrived
            self._rest += self._more(self._rest)

    def read(self, count: int, timeout: float) -> array[float]:
        """Return the delays of the next ``count`` lines in seconds."""
        delays = array("d")
        deadline = time.monotonic() + timeout
        while len(delays) < count:
            if not select.select([self._socket], [], [], deadline - time.monotonic())[0]:
                raise BenchError(f"the engine sent only {len(delays)} of {count} lines")
            self._rest += self._socket.recv(_READ_BYTES)
            self._take(delays, time.monotonic_ns())
        return delays

    def close(self) -> None:
        """Stop following."""
        self._socket.close()

    def _more(self, before: bytes) -> bytes:
        piece = self._socket.recv(_READ_BYTES)
        if not piece:
            raise BenchError(f"the engine ended its response: {before!r}")
        return piece

    def _take(self, delays: array[float], now: int) -> int:
        """Parse frames of stream, three zeros, length and text; return their number.

        The text is a timestamp, a space and the line.
        """
        frames = 0
        while len(self._rest) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._rest[4:_FRAME_HEAD])
            if len(self._rest) < end:
                break
            frames += 1
            number = int(self._rest[_FRAME_HEAD:end].partition(b" ")[2][:10])
            delays.append((now - self._sent[number - 1]) / 1e9)
            self._rest = self._rest[end:]
        return frames


def main(pipe: Connection[Any, Any], sent: Sequence[int]) -> None:
    """Handle requests of the bench until the pipe is closed."""
    follow = Follow(sent)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(follow, name)(*arguments))
