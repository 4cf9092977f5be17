"""Lets every wait of a runner end early: cancelled, out of time, or the service stops.

A runner waits in slices, and looks at its cancellation between two of them.  What must
not be left half done, such as giving the old container its name back, does not
look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from workers.deployment.errors import Cancelled, Interrupted, TimedOut

#: No wait is longer than this, in seconds, before the cancellation is asked again.
SLICE: Final = 0.2


class CancellationToken:
    """Asked often; looks into the store each ``poll_seconds`` at most."""

    def __init__(self, cancelled_by: Callable[[], str | None], poll_seconds: float) -> None:
        self._cancelled_by = cancelled_by
        self._poll_seconds = poll_seconds
        self._next_poll = 0.0
        self._stopping = False
        self._limit: tuple[float, str, float] | None = None

    def stop(self) -> None:
        """Note that the service stops; safe in a signal handler."""
        self._stopping = True

    def check(self) -> None:
        """Raise Interrupted, Cancelled or TimedOut if that is the case."""
        if self._stopping:
            raise Interrupted
        now = time.monotonic()
        if self._limit and now >= self._limit[0]:
            raise TimedOut(*self._limit[1:])
        if now >= self._next_poll:
            self._next_poll = now + self._poll_seconds
            by = self._cancelled_by()
            if by:
                raise Cancelled(by)

    def pause(self, seconds: float) -> None:
        """Sleep, looking around in between."""
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(SLICE, left))
            self.check()

    @contextmanager
    def at_most(self, seconds: float, what: str) -> Iterator[None]:
        """Within this block, ``check`` raises TimedOut(what) after so many seconds."""
        self._limit = (time.monotonic() + seconds, what, seconds)
        try:
            yield
        finally:
            self._limit = None
