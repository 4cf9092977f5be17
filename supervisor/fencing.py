"""Fencing tokens ("terms"), by which the broker tells a collector from its replacement.

A token is a time in nanoseconds, so a later supervisor's tokens are larger.  Tokens
also grow when the clock is set back while the service runs.  Otherwise the broker would
take a new collector's claim for an older one, and refuse it until the clock caught up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final


class FencingTokens:
    """Return a larger number at each call: the time, or the last number plus one."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._last = 0

    def __call__(self) -> int:
        """Return the next token."""
        self._last = max(self._last + 1, self._now())
        return self._last


# One source for the whole process, so that the tokens of new children and of dropped
# topics can be compared.
next_term: Final = FencingTokens()
