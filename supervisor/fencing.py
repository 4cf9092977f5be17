"""Terms: by them the broker tells a collector from the one that it replaces.

A term is a time in nanoseconds, so that those of a later supervisor are larger.
The clock may be set back while a service runs; its terms grow all the same.
Otherwise a new collector's claim would be taken for that of an earlier one, and
refused until the clock has caught up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final


class FencingTokens:
    """Each call gives a larger number: the time, or the one after the last."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._last = 0

    def __call__(self) -> int:
        """The next term."""
        self._last = max(self._last + 1, self._now())
        return self._last


#: The one sequence of this process, for what it starts and for what it has forgotten.
next_term: Final = FencingTokens()
