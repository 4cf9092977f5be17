"""The starts and ends of a container among its lines, as far as the engine knows them.

The engine's log has no record of them.  The engine knows when the container last started and
ended, and remembers the last 256 events of all containers ("Monitor events").
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

import msgspec

from mist import clock, heartbeat
from mist.errors import EngineError
from mist.read_request import ReadRequest
from mist.settings import Settings
from workers import engine
from workers.reader.entries import Entry
from workers.references import Inspection

_RECEIVE_BYTES: Final = 65_536

# The engine ends an answer about the past at once.  If its clock is behind, it would wait.
_PATIENCE_SECONDS: Final = 1.0

# An event and the time in the inspection are of the same start or end if they are this close.
_SAME_NS: Final = 2_000_000_000

# The engine notes a start after it, and the program may have written lines meanwhile.
_LATE_NS: Final = 2_000_000_000

# The engine's time for "never" is in the year 1.
_NEVER: Final = "0001"


class Moment(NamedTuple):
    """A start, or an end with its exit status."""

    at: int
    """Nanoseconds since the epoch."""
    start: bool
    code: str = ""


class Change(NamedTuple):
    """The content of a ``status`` message about one moment."""

    timestamp: str
    state: str
    status: str


def changes_of(settings: Settings, container: Inspection) -> list[Change]:
    """Return what is known about a container, the oldest first."""
    moments = _remembered(settings, str(container["Id"]))
    for moment in _inspected(container.get("State") or {}):
        alike = (each for each in moments if each.start == moment.start)
        if not any(abs(each.at - moment.at) < _SAME_NS for each in alike):
            moments.append(moment)
    created = _nanoseconds(str(container.get("Created") or _NEVER))
    return fold(moments, created, settings.collector.restart_seconds)


def fold(moments: Iterable[Moment], created: int, restart_seconds: float) -> list[Change]:
    """Return the changes, with a restart in place of an end and the start soon after it.

    A start comes before what the program may have written before the engine noted it, if it is
    known until when the container did not run.
    """
    found: list[Change] = []
    ended: Moment | None = Moment(created, start=False)
    within = int(restart_seconds * 1e9)
    for moment in sorted(moments):
        at = moment.at
        if moment.start and ended and (found or at - created <= within):
            at = min(at, max(ended.at + 1, at - _LATE_NS))
        stamp = clock.rfc3339(at)
        if not moment.start:
            code = f" ({moment.code})" if moment.code else ""
            found.append(Change(stamp, "exited", f"Exited{code}"))
        elif found and ended and moment.at - ended.at <= within:
            found[-1] = Change(stamp, "running", "Restarted")
        else:
            found.append(Change(stamp, "running", "Started"))
        ended = None if moment.start else moment
    return found


def _inspected(state: dict[str, Any]) -> list[Moment]:
    code = "" if state.get("Running") else str(state.get("ExitCode", ""))
    found = [(state.get("StartedAt"), True, ""), (state.get("FinishedAt"), False, code)]
    return [
        Moment(_nanoseconds(text), start, code)
        for text, start, code in found
        if text and not text.startswith(_NEVER)
    ]


def _nanoseconds(text: str) -> int:
    return clock.nanoseconds(clock.normalize(text))


def _remembered(settings: Settings, container: str) -> list[Moment]:
    """Return what the engine's events tell; nothing if they may not be read."""
    filters = {"type": ["container"], "container": [container], "event": ["start", "die"]}
    until, encoded = f"{time.time():.9f}", msgspec.json.encode(filters).decode()
    try:
        reply = engine.get(settings, "/events", since=1, until=until, filters=encoded)
    except EngineError:
        return []  # a socket proxy may forbid it
    body = reply.begun
    with closing(reply.connection):
        deadline = time.monotonic() + _PATIENCE_SECONDS
        try:
            with heartbeat.blocking(_PATIENCE_SECONDS):
                while (left := deadline - time.monotonic()) > 0:
                    reply.connection.settimeout(left)
                    if not (data := reply.connection.recv(_RECEIVE_BYTES)):
                        break
                    body += data
        except OSError:
            pass  # what has arrived is worth showing
    return [moment for line in body.split(b"\n") if (moment := _event(line))]


def _event(line: bytes) -> Moment | None:
    try:
        event: Any = msgspec.json.decode(line)
        code = str(event["Actor"]["Attributes"].get("exitCode", ""))
        return Moment(int(event["timeNano"]), event["Action"] == "start", code)
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None


class Runs:
    """The changes that are still to be placed among the lines of a request."""

    def __init__(self, changes: Iterable[Change], request: ReadRequest) -> None:
        self._desc = request.order == "desc"
        since, until = request.since or "", request.until or "9999"
        wanted = [each for each in changes if since <= each.timestamp < until]
        self._left = deque(sorted(wanted, reverse=self._desc))
        # The last lines begin with the first of them.
        self._tail = request.tail is not None

    def among(self, entries: list[Entry]) -> Iterator[list[Entry] | Change]:
        """Yield lines in parts, with each change before the first line that comes after it."""
        if self._tail and entries:
            self._tail = False
            while self._left and self._precedes(entries[0]):
                self._left.popleft()
        start = 0
        # Usually no change is among them, and the first and the last line tell.
        if self._left and entries and (self._precedes(entries[0]) or self._precedes(entries[-1])):
            for at, entry in enumerate(entries):
                while self._left and self._precedes(entry):
                    if at > start:
                        yield entries[start:at]
                    start = at
                    yield self._left.popleft()
        yield entries[start:] if start else entries

    def rest(self) -> list[Change]:
        """Return the changes behind the last line of the range."""
        return [] if self._tail else list(self._left)

    def _precedes(self, entry: Entry) -> bool:
        moment = self._left[0].timestamp.encode()
        return moment > entry[0] if self._desc else moment <= entry[0]
