"""Delay the reads of a busy stream, so that each read returns many lines.

The engine writes each line by itself and wakes its reader each time.  A reader that wakes
for every line costs itself and the engine more time than the lines do, and it wakes every
process on the way to the clients.  So while lines keep coming, all collectors of a host
together read about a thousand times a second: a single collector waits a millisecond
between reads, one of a hundred waits a tenth of a second.  The first line after a pause
is read at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from mist.settings import CollectorSettings

# The bytes, as the kernel counts them, that may accumulate in the engine's socket.  A
# quarter of its capacity (``net.core.wmem_default``), because the engine blocks when the
# socket is full.
_ROOM: Final = 53_248

# The kernel's overhead for each line that the engine writes, in bytes.
_OVERHEAD: Final = 640


class ReadPacer:
    """The pace of one stream's reads.

    ``collectors`` is the number of collectors on the host.  ``longest`` is the maximum
    delay of a line in this stream, in seconds.
    """

    def __init__(
        self,
        limits: CollectorSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.collectors = 1
        self.longest = limits.gather_limit_seconds
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._read = self._due = clock()
        self._waited = self._steady = False

    def rest(self) -> None:
        """Sleep after everything was read, if the stream is busy.

        Polling at once instead would wake the process for the very next line.
        """
        if self._steady:
            self.wait()

    def wait(self, most: float = math.inf) -> bool:
        """Sleep until the next read is worthwhile, but at most ``most`` seconds.

        Return True if it slept; after a pause in the stream it does not.
        """
        early = self._due - self._clock()
        if early <= 0:
            return False
        self._sleep(min(early, most))
        self._waited = True
        return True

    def note(self, lines: int, size: int) -> None:
        """Record that a read returned this many lines and bytes."""
        now = self._clock()
        took, self._read = now - self._read, now
        share = min(self.collectors * self._limits.gather_seconds, self.longest)
        # At the current rate, the time until the engine's socket is full enough.
        full = took * _ROOM / (size + _OVERHEAD * lines)
        self._due = now + min(share, full)
        # Busy means that lines were waiting again as soon as the delay was over.
        self._steady, self._waited = self._waited and took < 2 * share, False
