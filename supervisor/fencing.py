"""Fencing tokens, also called terms: the broker tells a collector from its predecessor by them.

A token is a time in nanoseconds.  Epochs of the bus begin with one, so tokens also order
what subscribers receive before and after a restart.  They have to grow when the clock is
set back, and across restarts of the supervisor: web workers that outlive it would take
everything that the new collectors send for old messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mist import logs


class FencingTokens:
    """Each call returns a larger number: the time, or the last number plus one.

    ``file`` keeps the last number for the next supervisor.
    """

    def __init__(self, file: Path, now: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._now = now
        self._last = self._stored()
        self._failing = False

    def __call__(self) -> int:
        """Return the next token."""
        self._last = max(self._last + 1, self._now())
        self._store()
        return self._last

    def _stored(self) -> int:
        try:
            text = self._file.read_text("ascii").strip()
            return int(text) if text.isdigit() and len(text) < _DIGITS else 0
        except (OSError, UnicodeDecodeError):
            return 0

    def _store(self) -> None:
        # Replaced as a whole: a file that is cut off would hold a smaller number.
        new = self._file.with_suffix(".new")
        try:
            new.write_text(f"{self._last}\n", "ascii")
            new.replace(self._file)
            self._failing = False
        except OSError as error:
            # The disk is full: tokens still grow as long as this process runs.
            if not self._failing:
                logs.logger().warning("fencing_token_not_stored", reason=str(error))
            self._failing = True


# A token has to fit into the header of a bus message, which has 63 bits for it.
_DIGITS = 19
