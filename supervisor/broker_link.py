"""The supervisor's end of the pipe to the broker."""

from __future__ import annotations

import select
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from bus.broker.control import Command, Report


class BrokerLink:
    """The pipe to the broker that was started last, if its end was not seen yet."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None

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
        """Send the broker a command, unless it is away or does not read.

        One that is away is not told: it starts with nothing, so that there is
        nothing to drop or reject.  One that does not read must not hold up the loop.
        """
        if self._pipe is None:
            return
        poller = select.poll()
        poller.register(self._pipe.fileno(), select.POLLOUT)
        with suppress(OSError):
            if poller.poll(0):
                self._pipe.send(command)

    def close(self) -> None:
        """Close this end."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
