"""Count the engine's containers and images in a separate thread.

The thread keeps an engine that hangs from delaying the sampler's clock.  It does not
request the counts every second either.  ``GET /info`` makes the engine start ``runc`` and
``docker-init`` to learn their versions (2 ms of the engine and 7 ms of waiting on 20.10).
Listing images costs more than a second of processor time on an engine with containerd's
image store.  The engine reports changes (``GET /events``), so the thread reads the counts
after a change and every ``metrics.recount_seconds``.  In between, ``GET /_ping`` (0.2 ms)
tells an idle engine from one that hangs.

A proxy in front of the engine may cut the report of changes, or forbid requests.  A cut is
no reason to forget the counts.  Without ``/events`` the counts are read every few seconds,
and without ``/info`` they are counted in the lists of containers and images.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import structlog
from msgspec import structs

from mist.errors import EngineError, MistError
from mist.messages import Docker
from mist.settings import Settings
from workers import engine

log = structlog.get_logger(__name__)

T = TypeVar("T")

UNKNOWN: Final = Docker(None, None, None)

# The engine counts some changes a moment after it reports them, and a burst of events is
# one change.  So the counts are read again until this long after the last event, and once
# more after a pause, because a busy engine may take longer.
_SETTLE_SECONDS: Final = 2.0
_LATE_SECONDS: Final = 10.0
_PACE_SECONDS: Final = 1.0  # the shortest interval between two reads
_BLIND_SECONDS: Final = 2.0  # the interval between two reads without a report of changes

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


class _Container(msgspec.Struct, frozen=True, rename="pascal"):
    """A row of ``GET /containers/json``."""

    state: str


class Agenda:
    """The schedule of the reads, without I/O; times are those of a monotonic clock."""

    def __init__(self, recount: float) -> None:
        self.blind = False
        """No changes are reported."""
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
        if self._changed + _SETTLE_SECONDS > self._read:
            return self._read + _PACE_SECONDS
        regular = self._read + (min(_BLIND_SECONDS, self._recount) if self.blind else self._recount)
        late = self._changed + _LATE_SECONDS
        return min(late, regular) if late > self._read else regular


class Changes:
    """The engine's report of changes (``GET /events``), opened again when it is cut."""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        # An answer that does not begin must not hold the other requests up.
        quick = min(settings.engine.timeout_seconds, settings.metrics.stale_seconds / 3)
        limits = structs.replace(settings.engine, timeout_seconds=quick)
        self._settings = structs.replace(settings, engine=limits)
        self._now = now
        self._connection: socket.socket | None = None
        self._due = float("-inf")

    def open(self, agenda: Agenda) -> None:
        """Open the report if it is not and it is time."""
        now = self._now()
        if self._connection is not None or now < self._due:
            return
        self._due = now + _PACE_SECONDS
        try:
            reply = engine.get(self._settings, "/events", filters=_EVENTS)
        except (EngineError, OSError) as error:
            # The other requests tell whether the engine answers at all.
            if not agenda.blind:
                log.warning("engine_events_unavailable", reason=str(error))
            self._due = now + self._settings.metrics.recount_seconds
            agenda.blind = True
        else:
            self._connection = reply.connection
            agenda.blind = False
            agenda.changed(now)  # there was no report of what changed before

    def wait(self, timeout: float, agenda: Agenda, stopped: threading.Event) -> None:
        """Wait for a change, for the end of the report, or for ``timeout`` seconds."""
        if self._connection is None:
            stopped.wait(max(0.0, min(timeout, self._due - self._now())))
        elif _readable(self._connection, timeout):
            # Only the arrival matters; the filter lets no other events through.
            try:
                arrived = self._connection.recv(_RECEIVE_BYTES)
            except OSError:
                arrived = b""
            if arrived:
                agenda.changed(self._now())
            else:
                self.close()

    def close(self) -> None:
        """Close the report."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Counts:
    """The engine's latest counts; None in each field once they are too old."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._stale = settings.metrics.stale_seconds
        self._figures = UNKNOWN
        self._heard = float("-inf")  # the time of the engine's last answer
        self._images: int | None = None
        self._images_due = float("-inf")
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
            changes = Changes(self._settings, self._now)
            try:
                self._watch(changes)
            except (MistError, OSError) as error:
                self._lost(str(error))
            finally:
                changes.close()
            # A pause, because an engine that is starting refuses connections at once.
            self._stopped.wait(_PACE_SECONDS)

    def _lost(self, reason: str) -> None:
        self._heard = float("-inf")
        # One warning per reason, not one per attempt.
        if reason != self._trouble and not self._stopped.is_set():
            self._trouble = reason
            log.warning("engine_counts_unavailable", reason=reason)

    def _watch(self, changes: Changes) -> None:
        """Keep the counts fresh until the engine does not answer."""
        agenda = Agenda(self._settings.metrics.recount_seconds)
        while not self._stopped.is_set():
            self._ask(agenda)
            changes.open(agenda)
            # Three requests per stale_seconds, so that one slow answer does not void the counts.
            pause = min(agenda.due(), self._heard + self._stale / 3) - self._now()
            changes.wait(pause, agenda, self._stopped)

    def _ask(self, agenda: Agenda) -> None:
        """Read the counts if they are due; otherwise check that the engine answers."""
        now = self._now()
        if now >= agenda.due():
            agenda.read(now)  # before the request, because a change during it may be missed
            self._figures = self._read()
        elif now >= self._heard + self._stale / 3:
            self._ping()
        else:
            return
        self._heard = self._now()
        if self._trouble:
            self._trouble = ""
            log.info("engine_counts_available")

    def _ping(self) -> None:
        begun = self._now()
        try:
            engine.get(self._settings, "/_ping").connection.close()
        except EngineError as error:
            self._forgive(error, begun)
            self._figures = self._read()  # another request that tells whether the engine answers

    def _read(self) -> Docker:
        begun = self._now()
        try:
            info = self._get("/info", _Info)
        except EngineError as error:
            self._forgive(error, begun)
            return self._count()
        return Docker(info.containers_running, info.containers, info.images)

    def _forgive(self, error: EngineError, begun: float) -> None:
        """Raise an error of an engine that hangs, unless a proxy may mean it as a refusal."""
        # Some proxies hang up instead of answering, but at once.
        if not isinstance(error, engine.EngineRefused) and self._now() > begun + _PACE_SECONDS:
            raise error

    def _count(self) -> Docker:
        """Count what may be listed; raise EngineError if that is nothing."""
        now = self._now()
        if now >= self._images_due:
            self._images_due = now + self._settings.metrics.recount_seconds  # this is expensive
            with suppress(EngineError):
                self._images = len(self._get("/images/json", list[Any], all=1))
        try:
            rows = self._get("/containers/json", list[_Container], all=1)
        except engine.EngineRefused:
            if self._images is None:
                raise
            return Docker(None, None, self._images)
        running = sum(row.state == "running" for row in rows)
        return Docker(running, len(rows), self._images)

    def _get(self, path: str, kind: type[T], **query: object) -> T:
        answer = engine.get_json(self._settings, path, **query)
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise EngineError(f"the engine's answer to {path}: {error}") from None


def _readable(connection: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    # poll(2) takes milliseconds; rounded up, so that it does not return early.
    return bool(poll.poll(int(max(0.0, timeout) * 1000) + 1))
