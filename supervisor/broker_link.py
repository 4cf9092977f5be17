"""The supervisor's end of the pipe to the broker."""

from __future__ import annotations

import select
from collections import deque
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from bus.broker.control import Command, Report


class BrokerLink:
    """The pipe to the broker that was started last, if its end was not seen yet."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None
        self._unsent: deque[Command] = deque()

    @property
    def blocked(self) -> bool:
        """Return True if commands wait for room in the pipe: ``flush`` once it is writable."""
        return bool(self._unsent)

    @property
    def descriptor(self) -> int | None:
        """What becomes readable when the broker reports, or ends; None while it is away."""
        return None if self._pipe is None else self._pipe.fileno()

    def renew(self) -> Connection:
        """Make a new pipe, and return the end for the broker that is about to start."""
        self.close()
        self._pipe, theirs = Pipe()
        return theirs

    def reports(self) -> list[Report]:
        """Return what has arrived; the end of the pipe is the end of the broker."""
        arrived: list[Report] = []
        try:
            while self._pipe is not None and self._pipe.poll():
                arrived += self._pipe.recv()
        except (EOFError, OSError):
            self.close()
        return arrived

    def send(self, command: Command) -> None:
        """Send the broker a command, now or as soon as the pipe has room.

        A broker that is away is not told.  It starts with nothing, so there is nothing to
        drop or reject.
        """
        if self._pipe is not None:
            self._unsent.append(command)
            self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the pipe has room."""
        if self._pipe is None:
            return
        poller = select.poll()
        poller.register(self._pipe.fileno(), select.POLLOUT)
        with suppress(OSError):
            # A socket is writable while three quarters of its buffer are free (unix(7)),
            # far more than a command, so sending one never blocks the loop.
            while self._unsent and poller.poll(0):
                self._pipe.send(self._unsent[0])
                self._unsent.popleft()

    def close(self) -> None:
        """Close this end."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        self._unsent.clear()
