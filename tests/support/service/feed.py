"""A container whose log the test writes itself, line by line and at an exact pace."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from tests.support.service.engine import PrivateEngine

#: The most lines that are written without a look at the clock.
_BURST: Final = 50


class Feed:
    """A container that copies a named pipe to its log; ``written`` counts the lines so far.

    A shell in the container would be too slow and too irregular for this.
    """

    def __init__(self, engine: PrivateEngine, name: str, directory: Path, **options: Any) -> None:
        self.written = 0
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        path = directory / f"{name}.pipe"
        os.mkfifo(path)
        # Opened for both directions: neither end waits for the other or sees an end of file.
        self._pipe = os.open(path, os.O_RDWR)
        engine.run(name, "exec cat /feed", binds=[f"{path}:/feed"], **options)

    def write(self, count: int, size: int, per_second: float) -> None:
        """Write ``line N ...`` lines of ``size`` bytes, numbered from 1 on, at a pace."""
        begin, first = time.monotonic(), self.written
        while self.written - first < count and not self._ended.is_set():
            done = self.written - first
            due = min(count, int((time.monotonic() - begin) * per_second) + 1, done + _BURST)
            if due > done:
                numbers = range(self.written + 1, self.written + 1 + due - done)
                _write_all(self._pipe, b"".join(numbered(number, size) for number in numbers))
                self.written += due - done
            else:
                time.sleep(max(0.0002, begin + done / per_second - time.monotonic()))

    def start(self, count: int, size: int, per_second: float) -> None:
        """Write in a thread; ``join`` waits for it."""
        self._thread = threading.Thread(target=self.write, args=(count, size, per_second))
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Return True while the thread writes."""
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> None:
        """Wait until everything is written."""
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        """Stop writing."""
        self._ended.set()
        self.join()
        os.close(self._pipe)


def numbered(number: int, size: int) -> bytes:
    """Return line ``number`` with its newline, ``size`` bytes without it."""
    return f"line {number} ".encode().ljust(size, b"x") + b"\n"


def number_of(text: str) -> int:
    """Return the number of a line."""
    return int(text.split(" ", 2)[1])


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
