"""Lets lines gather before they are read, while they come faster than they are worth a read each.

The engine writes each line by itself, and wakes its reader for each.  A reader
that is awake for every line costs both of them more time than the lines do, and
wakes everybody on the way to the clients for each.  So while lines keep coming,
all collectors of a host together read about a thousand times a second: one that
is alone lets them gather for a millisecond, one of a hundred for a tenth of a
second.  A line after a pause goes at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from mist.settings import CollectorSettings

#: What may gather in the engine's socket, as the kernel counts it: a quarter of what
#: it holds (``net.core.wmem_default``), for the engine waits when it is full.
_ROOM: Final = 53_248

#: What the kernel adds to each line that the engine writes.
_OVERHEAD: Final = 640


class ReadPacer:
    """The pace of one stream's reads.

    ``sharers`` are as many collectors as there are, ``longest`` is how long the
    lines of this stream may gather at the most, in seconds.
    """

    def __init__(
        self,
        limits: CollectorSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sharers = 1
        self.longest = limits.gather_limit_seconds
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._read = self._due = clock()
        self._waited = self._steady = False

    def rest(self) -> None:
        """Called when all is read: in a stream that keeps coming, its next line wakes nobody."""
        if self._steady:
            self.wait()

    def wait(self, most: float = math.inf) -> bool:
        """Called before a read: returns once it is worth it, which is at once after a pause.

        Whether that took any time.
        """
        early = self._due - self._clock()
        if early <= 0:
            return False
        self._sleep(min(early, most))
        self._waited = True
        return True

    def note(self, lines: int, size: int) -> None:
        """A read has just brought so many lines and bytes."""
        now = self._clock()
        took, self._read = now - self._read, now
        share = min(self.sharers * self._limits.gather_seconds, self.longest)
        full = took * _ROOM / (size + _OVERHEAD * lines)
        self._due = now + min(share, full)
        self._steady, self._waited = self._waited and took < 2 * share, False
