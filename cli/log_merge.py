"""Print several logs as one, in the order of the engine's times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import zmq

from cli import terminal
from cli.log_printer import Printer
from cli.log_source import Entry
from mist.messages import LogMessage

# How long a live line waits for earlier ones of the other logs.  Collectors pass a line on
# within some milliseconds, and within ``collector.gather_limit_seconds`` if there are many.
_HOLD_SECONDS: Final = 0.3

# With so many lines of one log waiting, none is held for another log that is live.
_MANY: Final = 5_000

# Wait no longer than this, so that the time of a broker's return does not matter.
_WAIT_SECONDS: Final = 60.0


class Input(Protocol):
    """A log to merge, on this machine or another."""

    queue: deque[tuple[float, Entry]]
    """What comes next, with its time of arrival; ``next`` takes it."""

    @property
    def reading(self) -> bool:
        """Return True if older lines may come before those of other logs."""

    @property
    def over(self) -> bool:
        """Return True if nothing more comes, except what is in the queue."""

    def next(self) -> Entry:
        """Take the first entry of the queue."""

    def watch(self, poller: zmq.Poller) -> float:
        """Let a poller wait for what comes; return the time at which ``pump`` is due anyway."""

    def pump(self) -> None:
        """Take what has arrived."""

    def close(self) -> None:
        """End the demand."""


class Merger:
    """Print the lines of all sources, each source in its own order, the earliest line first."""

    def __init__(self, printers: Mapping[Input, Printer]) -> None:
        self._printers = dict(printers)
        self._open = list(printers)
        self._held_until: float | None = None

    def run(self) -> int:
        """Print until every log has ended; return the first exit status that is not 0."""
        while True:
            self._print()
            for source in [each for each in self._open if each.over and not each.queue]:
                source.close()  # ends the demand
                self._open.remove(source)
            if not self._open:
                statuses = [printer.final or 0 for printer in self._printers.values()]
                return next((status for status in statuses if status), 0)
            self._wait()
            for source in self._open:
                source.pump()

    def _print(self) -> None:
        """Print what no line that is still to come could precede."""
        self._held_until = None
        now = time.monotonic()
        while first := self._first():
            if self._blocked(first, now):
                break
            self._printers[first].show(first.next())
        # Once per batch, so that a flood costs few system calls.
        terminal.flush()

    def _first(self) -> Input | None:
        """Return the source with the earliest line or with a note."""
        if len(self._open) == 1:
            return self._open[0] if self._open[0].queue else None
        waiting = [source for source in self._open if source.queue]
        return min(waiting, key=_time, default=None)

    def _blocked(self, first: Input, now: float) -> bool:
        """Return True if another source may bring an earlier line."""
        silent = [each for each in self._open if not each.queue and not each.over]
        if not silent or not _time(first):
            return False
        if any(source.reading for source in silent):
            return True
        until = first.queue[0][0] + _HOLD_SECONDS
        if now >= until or len(first.queue) > _MANY:
            return False
        self._held_until = until
        return True

    def _wait(self) -> None:
        """Wait until something arrives or is due."""
        poller = zmq.Poller()
        due = time.monotonic() + _WAIT_SECONDS
        if self._held_until is not None:
            due = min(due, self._held_until)
        for source in self._open:
            due = min(due, source.watch(poller))
        # Otherwise `mist logs APP | head` on a silent container would keep the collector
        # alive, because only a write would notice that head has gone (poll(2), POLLERR).
        poller.register(terminal.STDOUT, zmq.POLLERR)
        pause = due - time.monotonic()
        if dict(poller.poll(int(pause * 1000) + 1 if pause > 0 else 0)).get(terminal.STDOUT):
            raise BrokenPipeError


def _time(source: Input) -> str:
    """Return the time of the next line; empty for a note, which comes first."""
    entry = source.queue[0][1]
    return entry.timestamp if isinstance(entry, LogMessage) else ""
