"""Lets the lines of a flood gather before they are read.

The engine writes each line by itself, and wakes its reader for each.  A reader
that is awake for every line costs both of them more time than the lines do, and
puts few lines into each message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: How long lines gather; the engine fills a socket's buffer in no less.
_SECONDS: Final = 0.001

#: More lines a second than this are a flood ...
_FLOOD: Final = 20_000

#: ... once so many have come: a tail is not to be held up.
_BEGINNING: Final = 2_000


class Gather:
    """Called before each read with what the last one gave; a lone line is never kept waiting."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._last = clock()
        self._total = 0

    def __call__(self, lines: int) -> None:
        """Wait a moment if lines come faster than they are worth a read each."""
        self._total += lines
        if self._total > _BEGINNING and lines > max(1, _FLOOD * (self._clock() - self._last)):
            self._sleep(_SECONDS)
        self._last = self._clock()
