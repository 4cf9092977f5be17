"""Yardsticks of the engine itself: its command line, and its raw follow stream."""

from __future__ import annotations

import select
import socket
import subprocess
import time
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from bench.procs import BenchError

_READ_BYTES: Final = 262_144
_FRAME_HEAD: Final = 8
# How long the engine may give nothing, in seconds.
_TIMEOUT: Final = 120.0


class DockerLogs:
    """A running ``docker logs``; its lines are counted, not looked at."""

    def __init__(self, host: str, container: str, *options: str) -> None:
        self._name = f"docker logs {' '.join(options)} {container}"
        self._count = 0
        self._process = subprocess.Popen(
            ["docker", "--host", host, "logs", *options, container],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            bufsize=0,
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
        self._process.kill()
        self._process.stdout.close()
        self._process.wait(_TIMEOUT)

    def read(self, lines: int) -> float:
        """Read until there are ``lines``; the moment when there were (``time.monotonic``)."""
        while self._count < lines:
            piece = self._read()
            if not piece:
                raise BenchError(f"{self._name} gave {self._count} lines of {lines}")
            self._count += piece.count(b"\n")
        return time.monotonic()

    def finish(self) -> None:
        """Wait until it ends by itself."""
        while self._read():
            pass
        self._process.wait(_TIMEOUT)

    def _read(self) -> bytes:
        """Return what comes next, or nothing at the end; BenchError if it takes too long."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _TIMEOUT)[0]:
            raise BenchError(f"{self._name} stopped after {self._count} lines")
        return self._process.stdout.read(_READ_BYTES) or b""


class Follow:
    """The raw follow stream of one container, read by a plain socket."""

    def __init__(self, sent: Sequence[int]) -> None:
        self._sent = sent

    def open(self, path: str, container: str) -> None:
        """Begin to follow at the end (Engine API, "Get container logs"; HTTP/1.0: no chunks).

        The engine answers before it looks for the end, and a busy one then leaves out what
        is written in between. The last line that there is, which it sends first, shows that
        it follows.
        """
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT)
        self._socket.connect(path)
        query = "follow=1&stdout=1&stderr=1&timestamps=1&tail=1"
        request = f"GET /containers/{container}/logs?{query} HTTP/1.0\r\nHost: engine\r\n\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._more(head)
        self._rest = head.partition(b"\r\n\r\n")[2]
        while not self._take(array("d"), 0):
            self._rest += self._more(self._rest)

    def read(self, count: int, timeout: float) -> array[float]:
        """The delays of the next ``count`` lines, in seconds."""
        delays = array("d")
        deadline = time.monotonic() + timeout
        while len(delays) < count:
            if not select.select([self._socket], [], [], deadline - time.monotonic())[0]:
                raise BenchError(f"only {len(delays)} of {count} lines came from the engine")
            self._rest += self._socket.recv(_READ_BYTES)
            self._take(delays, time.monotonic_ns())
        return delays

    def close(self) -> None:
        """Stop following."""
        self._socket.close()

    def _more(self, before: bytes) -> bytes:
        piece = self._socket.recv(_READ_BYTES)
        if not piece:
            raise BenchError(f"the engine ended its answer: {before!r}")
        return piece

    def _take(self, delays: array[float], now: int) -> int:
        """Return how many frames there were: stream, three zeros, length, then the text.

        The text is a time stamp, a blank and the line.
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
    """Serve requests of the bench until the pipe is closed."""
    follow = Follow(sent)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(follow, name)(*arguments))
