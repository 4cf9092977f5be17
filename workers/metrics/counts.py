"""Count the engine's containers and images in a separate thread.

The thread keeps an engine that hangs from delaying the sampler's clock.  It does not
request the counts every second either.  ``GET /info`` makes the engine start ``runc`` and
``docker-init`` to learn their versions (2 ms of the engine and 7 ms of waiting on 20.10).
Listing images costs more than a second of processor time on an engine with containerd's
image store.  The engine reports changes (``GET /events``), so the thread reads the counts
after a change and every ``metrics.recount_seconds``.  In between, ``GET /_ping`` (0.2 ms)
tells an idle engine from one that hangs.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from mist.errors import EngineError, MistError
from mist.messages import Docker
from mist.settings import Settings
from workers import engine

log = structlog.get_logger(__name__)

UNKNOWN: Final = Docker(None, None, None)

# The engine counts some changes a moment after it reports them, and a burst of events is
# one change.  So the counts are read again until this long after the last event.
_SETTLE_SECONDS: Final = 2.0
_PACE_SECONDS: Final = 1.0  # the shortest interval between two reads

_RECEIVE_BYTES: Final = 65_536

# Without ``exec_*``, which every health check of every container causes.
_EVENTS: Final = json.dumps(
    {
        "type": ["container", "image"],
        "event": [
            *("create", "start", "die", "destroy", "pause", "unpause", "prune"),
            *("delete", "import", "load", "pull", "tag", "untag"),
        ],
    }
)


class _Info(msgspec.Struct, frozen=True, rename="pascal"):
    """The counts in the answer to ``GET /info``."""

    containers: int
    containers_running: int
    images: int


class Agenda:
    """The schedule of the reads, without I/O; times are those of a monotonic clock."""

    def __init__(self, recount: float) -> None:
        self._recount = recount
        self._read = float("-inf")
        self._changed = float("-inf")

    def changed(self, now: float) -> None:
        """Record that the engine reported a change."""
        self._changed = now

    def read(self, now: float) -> None:
        """Record that the counts are being read; later changes are not in them."""
        self._read = now

    def due(self) -> float:
        """Return when to read the counts next: soon after a change, but once per second at most."""
        unsettled = self._changed + _SETTLE_SECONDS > self._read
        return self._read + (_PACE_SECONDS if unsettled else self._recount)


class Counts:
    """The engine's latest counts; None in each field once they are too old."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._stale = settings.metrics.stale_seconds
        self._figures = UNKNOWN
        self._heard = float("-inf")  # the time of the engine's last answer
        self._trouble = ""
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start watching the engine in a daemon thread."""
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def stop(self) -> None:
        """Stop watching, without waiting for a request to an engine that hangs."""
        self._stopped.set()

    def figures(self) -> Docker:
        """Return the counts; never block."""
        return self._figures if self._now() - self._heard <= self._stale else UNKNOWN

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
                self._lost("the engine ended its report of events")
            except (MistError, OSError) as error:
                self._lost(str(error))
            # A pause, because an engine that is starting refuses connections at once.
            self._stopped.wait(_PACE_SECONDS)

    def _lost(self, reason: str) -> None:
        self._heard = float("-inf")
        # One warning per reason, not one per attempt.
        if reason != self._trouble and not self._stopped.is_set():
            self._trouble = reason
            log.warning("engine_counts_unavailable", reason=reason)

    def _watch(self) -> None:
        """Keep the counts fresh until the engine hangs up."""
        reply = engine.get(self._settings, "/events", filters=_EVENTS)
        agenda = Agenda(self._settings.metrics.recount_seconds)
        with reply.connection as events:
            while self._wait(events, agenda):
                self._ask(agenda)

    def _wait(self, events: socket.socket, agenda: Agenda) -> bool:
        """Wait for a change or for the next request; return False if the engine hung up."""
        # Three requests per stale_seconds, so that one slow answer does not void the counts.
        pause = min(agenda.due(), self._heard + self._stale / 3) - self._now()
        if _readable(events, pause):
            # Only the arrival matters; the filter lets no other events through.
            if not events.recv(_RECEIVE_BYTES):
                return False
            agenda.changed(self._now())
        return not self._stopped.is_set()

    def _ask(self, agenda: Agenda) -> None:
        """Read the counts if they are due; otherwise check that the engine answers."""
        now = self._now()
        if now >= agenda.due():
            agenda.read(now)  # before the request, because a change during it may be missed
            self._figures = self._read()
        elif now >= self._heard + self._stale / 3:
            engine.get(self._settings, "/_ping").connection.close()
        else:
            return
        self._heard = self._now()
        if self._trouble:
            self._trouble = ""
            log.info("engine_counts_available")

    def _read(self) -> Docker:
        answer = engine.get_json(self._settings, "/info")
        try:
            info = msgspec.convert(answer, _Info)
        except msgspec.ValidationError as error:
            raise EngineError(f"the engine's answer to /info: {error}") from None
        return Docker(info.containers_running, info.containers, info.images)


def _readable(connection: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    # poll(2) takes milliseconds; rounded up, so that it does not return early.
    return bool(poll.poll(int(max(0.0, timeout) * 1000) + 1))
