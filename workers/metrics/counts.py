"""How many containers and images the engine has, from a thread of its own.

The sampler's clock must not wait for an engine that hangs, hence the thread.
It does not ask for the figures each second either: ``GET /info`` makes the
engine start ``runc`` and ``docker-init`` for their versions (2 ms of the engine
and 7 ms of waiting on 20.10), and listing images costs more than a second of
processor time on an engine with containerd's image store.  The engine reports
changes (``GET /events``), so the figures are read when one comes and every
``metrics.recount_seconds`` besides; in between ``GET /_ping`` (0.2 ms) tells an
engine that is silent from one that hangs.
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

from mist import logs
from mist.errors import EngineError, MistError
from mist.messages import Docker
from mist.settings import Settings
from workers import engine

UNKNOWN: Final = Docker(None, None, None)

#: Some changes are counted a moment after they were reported (and a burst of
#: events is one change), so the figures are read again until it is quiet.
_SETTLE_SECONDS: Final = 2.0
_PACE_SECONDS: Final = 1.0

_RECEIVE_BYTES: Final = 65_536

#: Not ``exec_*``, which each health check of each container causes.
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
    """What is of interest in ``GET /info``."""

    containers: int
    containers_running: int
    images: int


class Agenda:
    """When to read the figures again, without I/O; times are those of a monotonic clock."""

    def __init__(self, recount: float) -> None:
        self._recount = recount
        self._read = float("-inf")
        self._changed = float("-inf")

    def changed(self, now: float) -> None:
        """The engine reported a change."""
        self._changed = now

    def read(self, now: float) -> None:
        """The figures were read, before whatever is reported from now on."""
        self._read = now

    def due(self) -> float:
        """When to read them next: soon after a change, but once a second at most."""
        unsettled = self._changed + _SETTLE_SECONDS > self._read
        return self._read + (_PACE_SECONDS if unsettled else self._recount)


class Counts:
    """The engine's figures as they were last heard, None once that is too long ago."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._stale = settings.metrics.stale_seconds
        self._figures = UNKNOWN
        self._heard = float("-inf")
        self._trouble = ""
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch the engine from now on; the thread ends with the process, if not before."""
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def stop(self) -> None:
        """Watch it no more; waits for nothing, least of all for an engine that hangs."""
        self._stopped.set()

    def figures(self) -> Docker:
        """The counts; never waits."""
        return self._figures if self._now() - self._heard <= self._stale else UNKNOWN

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
                self._lost("the engine ended its report of events")
            except (MistError, OSError) as error:
                self._lost(str(error))
            self._stopped.wait(_PACE_SECONDS)

    def _lost(self, reason: str) -> None:
        self._heard = float("-inf")
        if reason != self._trouble and not self._stopped.is_set():
            self._trouble = reason
            logs.logger().warning("no figures from the engine", reason=reason)

    def _watch(self) -> None:
        """Keep the figures fresh until the engine goes away."""
        reply = engine.get(self._settings, "/events", filters=_EVENTS)
        agenda = Agenda(self._settings.metrics.recount_seconds)
        with reply.connection as events:
            while self._wait(events, agenda):
                self._ask(agenda)

    def _wait(self, events: socket.socket, agenda: Agenda) -> bool:
        """Wait for a change or for the time to ask; false if the engine hung up."""
        pause = min(agenda.due(), self._heard + self._stale / 3) - self._now()
        if _readable(events, pause):
            if not events.recv(_RECEIVE_BYTES):
                return False
            agenda.changed(self._now())
        return not self._stopped.is_set()

    def _ask(self, agenda: Agenda) -> None:
        """Read the figures if that is due, or else see whether the engine is there."""
        now = self._now()
        if now >= agenda.due():
            agenda.read(now)
            self._figures = self._read()
        elif now >= self._heard + self._stale / 3:
            engine.get(self._settings, "/_ping").connection.close()
        else:
            return
        self._heard = self._now()
        if self._trouble:
            self._trouble = ""
            logs.logger().info("the engine answers again")

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
    return bool(poll.poll(int(max(0.0, timeout) * 1000) + 1))
