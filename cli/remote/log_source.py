"""One log of ``mist logs`` from another machine, as the merger takes it.

A thread reads the log, because HTTP and the stream block.  It waits while the queue is full.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import zmq

from cli.log_source import Entry, Note
from mist.errors import MistError
from mist.messages import LogMessage

# What waits at most because another log has older lines, in lines and in characters.
_MOST: Final = 20_000
_MOST_CHARACTERS: Final = 16_777_216


class _Closed(Exception):
    """Nobody takes what the thread reads any more."""


class RemoteSource:
    """The lines and notes of one log, in the engine's order.

    ``read`` runs in the thread.  It calls ``put`` and ``settle``, and returns the exit status.
    """

    def __init__(self, read: Callable[[RemoteSource], int]) -> None:
        self.queue: deque[tuple[float, Entry]] = deque()
        """What comes next, with its time of arrival; ``next`` takes it."""
        self.reading = True
        """Older lines may come before those of other logs."""
        self.over = False
        """Nothing more comes, except what is in the queue."""
        self._read = read
        # Shared with the thread.
        self._changed = threading.Condition()
        self._arrived: list[tuple[float, Entry]] = []
        self._waiting = self._characters = 0  # in the queue, too
        self._settled = self._ended = self._closed = False
        self._failure: BaseException | None = None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        threading.Thread(target=self._run, daemon=True).start()

    # The merger's side

    def next(self) -> Entry:
        """Take the first entry of the queue."""
        _arrived, entry = self.queue.popleft()
        with self._changed:
            self._waiting -= 1
            self._characters -= _size(entry)
            self._changed.notify()
        return entry

    def watch(self, poller: zmq.Poller) -> float:
        """Let a poller wait for what comes; ``pump`` is due at no other time."""
        if not self.over:
            poller.register(self._bell, zmq.POLLIN)
        return float("inf")

    def pump(self) -> None:
        """Take what has arrived."""
        with self._changed:
            with suppress(BlockingIOError):
                os.eventfd_read(self._bell)
            self.queue.extend(self._arrived)
            self._arrived.clear()
            self.reading, self.over = not self._settled, self._ended
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """Let the thread end by itself; it may be waiting for the network."""
        with self._changed:
            if not self._closed:
                self._closed = True
                os.close(self._bell)
                self._changed.notify()

    # The thread's side

    def put(self, entry: Entry) -> None:
        """Add an entry as soon as there is room."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._add(entry)

    def settle(self) -> None:
        """Note that from now on only new lines come."""
        with self._changed:
            self._check_open()
            if not self._settled:
                self._settled = True
                os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        try:
            final = Note("", self._read(self))
        except _Closed:
            return
        except MistError as error:
            final = Note(str(error), error.exit_status)
        except BaseException as error:
            final, self._failure = Note(""), error
        with self._changed, suppress(_Closed):
            self._ended = self._settled = True
            self._add(final)

    def _has_room(self) -> bool:
        full = self._waiting >= _MOST or self._characters >= _MOST_CHARACTERS
        return self._closed or not full

    def _add(self, entry: Entry) -> None:
        self._check_open()
        self._arrived.append((time.monotonic(), entry))
        self._waiting += 1
        self._characters += _size(entry)
        os.eventfd_write(self._bell, 1)

    def _check_open(self) -> None:
        if self._closed:
            raise _Closed


def _size(entry: Entry) -> int:
    """Return the number of characters of a line."""
    return len(entry.data.line) if isinstance(entry, LogMessage) else 0
