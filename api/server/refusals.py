"""Log refused requests: the first one at once, and those that follow as a number."""

from __future__ import annotations

import time
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

_WINDOW_SECONDS: Final = 60.0


class RefusalLog:
    """At most two lines a minute, whatever clients send; anybody can cause refusals."""

    def __init__(self) -> None:
        self._next = 0.0  # the earliest time of the next line about a single request
        self._more = 0
        self._last: dict[str, Any] = {}

    def note(self, peer: Any, reason: str) -> None:
        """Log a refused request, or count it if there was one within the last minute."""
        peer = peer[0] if isinstance(peer, tuple) else peer
        if time.monotonic() < self._next:
            self._more += 1
            self._last = {"last_peer": peer, "last_reason": reason}
            return
        self.flush()
        log.info("request_refused", peer=peer, reason=reason)
        self._next = time.monotonic() + _WINDOW_SECONDS

    def flush(self, *, early: bool = False) -> None:
        """Log the number of further refusals, once their minute is over or ``early``."""
        if self._more and (early or time.monotonic() >= self._next):
            log.info("requests_refused", count=self._more, **self._last)
            self._more = 0
