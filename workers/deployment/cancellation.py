"""End every wait of a runner early: cancelled, out of time, or the service stops.

A runner waits in slices and checks its token between them.  Steps that must not be left
half done, such as giving the old container its name back, do not check it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from mist import heartbeat
from workers.deployment.errors import Cancelled, Interrupted, TimedOut

# The longest wait between two checks, in seconds.
SLICE: Final = 0.2


class CancellationToken:
    """The reasons for a deployment to end early; reads the store once per ``poll_seconds``."""

    def __init__(self, cancelled_by: Callable[[], str | None], poll_seconds: float) -> None:
        self._cancelled_by = cancelled_by
        self._poll_seconds = poll_seconds
        self._next_poll = 0.0
        self.stopping = False
        """The service is stopping."""
        self._limit: tuple[float, str, float] | None = None

    def stop(self) -> None:
        """Record that the service is stopping; safe in a signal handler."""
        self.stopping = True

    def check(self) -> None:
        """Raise Interrupted, Cancelled or TimedOut if the deployment has to end."""
        heartbeat.beat()  # every wait of a runner comes here once per slice
        if self.stopping:
            raise Interrupted
        now = time.monotonic()
        if self._limit and now >= self._limit[0]:
            raise TimedOut(*self._limit[1:])
        # Each poll reads the database, so it is not done at every check.
        if now >= self._next_poll:
            self._next_poll = now + self._poll_seconds
            by = self._cancelled_by()
            if by:
                raise Cancelled(by)

    def pause(self, seconds: float) -> None:
        """Sleep, with a check at least once per slice."""
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(SLICE, left))
            self.check()

    @contextmanager
    def at_most(self, seconds: float, what: str) -> Iterator[None]:
        """Within this block, make ``check`` raise TimedOut(what) after this many seconds."""
        self._limit = (time.monotonic() + seconds, what, seconds)
        try:
            yield
        finally:
            self._limit = None
