"""The supervisor's end of the pipe to the broker."""

from __future__ import annotations

import select
from collections import deque
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from bus.broker.control import Command, Report


class BrokerLink:
    """The pipe to the broker that was started last, until that broker ends."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None
        self._unsent: deque[Command] = deque()

    @property
    def blocked(self) -> bool:
        """Return True if commands wait for room in the pipe: ``flush`` once it is writable."""
        return bool(self._unsent)

    @property
    def descriptor(self) -> int | None:
        """A descriptor that is readable when the broker reports or ends; None without a broker."""
        return None if self._pipe is None else self._pipe.fileno()

    def renew(self) -> Connection:
        """Make a new pipe and return the end for the broker that is about to start."""
        self.close()  # reports of the old broker do not apply to the new one
        self._pipe, theirs = Pipe()
        return theirs

    def reports(self) -> list[Report]:
        """Return the reports that have arrived.  Close the link if the broker has ended."""
        arrived: list[Report] = []
        try:
            while self._pipe is not None and self._pipe.poll():
                arrived += self._pipe.recv()
        except (EOFError, OSError):
            # The broker held the other end alone, so it has ended.  The reports before stay valid.
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
        """Send waiting commands while the pipe has room."""
        if self._pipe is None:
            return  # a new broker starts empty, with nothing to drop or reject
        poller = select.poll()
        poller.register(self._pipe.fileno(), select.POLLOUT)
        with suppress(OSError):
            # A broker that does not read must not block the supervisor's loop.  A Unix socket is
            # writable while most of its buffer is free, which is far more than one command.
            while self._unsent and poller.poll(0):
                self._pipe.send(self._unsent[0])
                self._unsent.popleft()

    def close(self) -> None:
        """Close the supervisor's end of the pipe."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        self._unsent.clear()
