"""Containers whose output the bench writes, byte by byte.

The container itself only sleeps.  The bench writes to the container's standard output,
the same pipe that its own processes would use.  The time of each line is therefore known
to the microsecond, and no program in the container affects the figures.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableSequence
from multiprocessing.connection import Connection
from typing import Any, Final

from bench import lines
from bench.processes import Peer
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until

_SLEEP: Final = "exec sleep 100000"  # exec: the shell must not keep memory
# Lines per write of a flood.
_FLOOD_LINES: Final = 400
# Shorter waits are not worth a sleep: writes to many containers go out in small groups.
_TICK_SECONDS: Final = 0.002


def start(engine: PrivateEngine, name: str) -> int:
    """Start a container that writes nothing by itself; return the pid of its sleep."""
    container = engine.run(name, _SLEEP)
    return int(engine.client.inspect_container(container)["State"]["Pid"])


def await_line(engine: PrivateEngine, name: str, number: int) -> None:
    """Wait until the engine has logged line ``number``, because it lags behind the pipe."""
    wanted = _line(number)
    wait_until(lambda: engine.client.logs(name, tail=1) == wanted, f"line {number} of {name}")


class Pipes:
    """The standard outputs of containers, opened for writing."""

    def __init__(self, sent: MutableSequence[int] | None) -> None:
        self._sent = sent
        self._outputs: list[int] = []

    def attach(self, pids: list[int]) -> None:
        """Write to these containers from now on."""
        for output in self._outputs:
            os.close(output)
        # Opening the pipe through /proc gives a second writer, next to the container's own.
        self._outputs = [os.open(f"/proc/{pid}/fd/1", os.O_WRONLY) for pid in pids]

    def flood(self, first: int, count: int) -> float:
        """Write lines after the ``first`` ones as fast as the engine reads; return the seconds."""
        begin = time.monotonic()
        for start in range(first, first + count, _FLOOD_LINES):
            stop = min(start + _FLOOD_LINES, first + count)
            data = b"".join(_line(number + 1) for number in range(start, stop))
            for output in self._outputs:
                _write(output, data)
        return time.monotonic() - begin

    def pace(self, first: int, count: int, rate: float) -> float:
        """Write ``rate`` lines a second to each container; return the seconds it took.

        The writes to many containers are spread evenly over each second, a few per tick.
        """
        writes = count * len(self._outputs)
        gap = 1 / (rate * len(self._outputs))
        begin = time.monotonic()
        for index in range(writes):
            late = begin + index * gap - time.monotonic()
            # One container gets an exact pace, many get theirs in small groups.
            if late > (0 if len(self._outputs) == 1 else _TICK_SECONDS):
                time.sleep(late)
            self._one(index, first)
        return time.monotonic() - begin

    def _one(self, index: int, first: int) -> None:
        number = first + index // len(self._outputs)
        data = _line(number + 1)
        if self._sent is not None:
            self._sent[number] = time.monotonic_ns()  # before the write: the delay includes it
        _write(self._outputs[index % len(self._outputs)], data)


def _line(number: int) -> bytes:
    return lines.text(number).encode() + b"\n"


def _write(output: int, data: bytes) -> None:
    while data:
        data = data[os.write(output, data) :]  # a full pipe takes a part, or blocks


def main(pipe: Connection[Any, Any], sent: MutableSequence[int] | None) -> None:
    """Handle requests of the bench until the pipe is closed."""
    pipes = Pipes(sent)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(pipes, name)(*arguments))  # only the bench holds the other end


def writer(sent: MutableSequence[int] | None = None) -> Peer:
    """Start a process that writes for containers and records the time of each line in ``sent``."""
    return Peer(main, sent)
