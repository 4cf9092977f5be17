"""Fencing tokens ("terms"), by which the broker tells a collector from its replacement.

A token is a time in nanoseconds, so a later supervisor's tokens are larger.  Epochs of
the bus are tokens, too, so they also order what subscribers receive across a restart.
Tokens grow when the clock is set back, also while no supervisor runs.  Otherwise the
broker would refuse a new collector's claim, and web workers that outlive the supervisor
would drop new messages as old ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class FencingTokens:
    """Return a larger number at each call: the time, or the last number plus one.

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
        # Replace the file as a whole: a truncated one would hold a smaller number.
        new = self._file.with_suffix(".new")
        try:
            new.write_text(f"{self._last}\n", "ascii")
            new.replace(self._file)
            self._failing = False
        except OSError as error:
            # The disk may be full.  Tokens still grow as long as this process runs.
            if not self._failing:
                log.warning("fencing_token_not_stored", reason=str(error))
            self._failing = True


# A token of this length fits into the 63 bits of a bus message's header.
_DIGITS = 19
