"""The service's side of a log, as far as a client that resumes it can tell, without sockets."""

from __future__ import annotations

from typing import Any

import msgspec


class LogService:
    """A log of numbered lines of which the newest ``memory`` are remembered."""

    def __init__(self, memory: int = 1_000) -> None:
        self.lines: list[tuple[str, str]] = []
        """Times and texts."""
        self.now = stamp(0)
        """The time of a status."""
        self.stopped = False
        """True if the container does not run."""
        self._memory = memory
        self._epoch = 1

    def write(self, text: str, time: str | None = None) -> None:
        """Write a line, by default a millisecond after the one before."""
        self.lines.append((time or stamp(len(self.lines)), text))

    def renumber(self) -> None:
        """Forget the numbers of the lines, as when everything was restarted at once."""
        self._epoch += 1

    def answer(self, query: dict[str, Any]) -> list[bytes]:
        """Return the messages that a new connection gets at first."""
        start, skipped = self._start(query)
        notice = [] if skipped is None else [message("skipped", lines=skipped, reason="restart")]
        lines = [*notice, *map(self.message, range(start, len(self.lines)))]
        if not self.stopped:
            return [status(time=self.now), *lines]
        error = message("error", message="Container is not running (state: exited)")
        shown = lines if query.get("stopped") else []
        return [status("exited", self.now), *shown, error]

    def message(self, number: int) -> bytes:
        """Return the message of a line."""
        time, text = self.lines[number]
        return message("log", time, line=text, stream="stdout", pos=f"{self._epoch}-{number}")

    def _start(self, query: dict[str, Any]) -> tuple[int, int | None]:
        """Return the first line to send, and how many are left out: 0 for an unknown number."""
        oldest = max(0, len(self.lines) - self._memory)
        since = query.get("since")
        if since is None:
            tail = 100 if query.get("tail") is None else int(query["tail"])
            return max(oldest, len(self.lines) - tail), None
        if since.endswith("Z"):
            later = (n for n, (time, _) in enumerate(self.lines) if time > since)
            return max(oldest, next(later, len(self.lines))), None
        epoch, _, number = since.partition("-")
        if int(epoch) != self._epoch:
            return oldest, 0
        following = int(number) + 1
        return max(oldest, following), oldest - following if oldest > following else None


def stamp(milliseconds: int) -> str:
    """Return a time of the engine."""
    seconds, rest = divmod(milliseconds, 1_000)
    return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}.{rest:03}000000Z"


def message(kind: str, time: str = "2026-01-01T00:00:00.000000000Z", **data: Any) -> bytes:
    """Return a message of the service."""
    return msgspec.json.encode({"type": kind, "timestamp": time, "data": data})


def status(state: str = "running", time: str = "2026-01-01T00:00:00.000000000Z") -> bytes:
    """Return the status of a container."""
    return message("status", time, container="web", state=state, status="Up 2 hours")
