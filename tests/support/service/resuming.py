"""A viewer that connects again after each close, and resumes where it was."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

#: The delay before the first attempt to connect again, and the longest, in seconds.
_FIRST: Final = 0.1
_LONGEST: Final = 0.5
#: Codes after which there is nothing to resume.
_FINAL: Final = frozenset({1000, 4401, 4403, 4404, 4409, 4410})


class Arrival(NamedTuple):
    """A message, the time of its arrival (``time.monotonic``), and the connection's number."""

    at: float
    message: dict[str, Any]
    connection: int = 0


class Viewer:
    """A client of one log; ``arrivals`` holds every message except what was sent before."""

    def __init__(self, url: str, cookie: str, *, tail: int = 100) -> None:
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self._url = url
        self._cookie = cookie
        self._position = ""
        self._tail = tail
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    @property
    def last(self) -> str:
        """The text of the newest line, or an empty string."""
        for arrival in reversed(self.arrivals[-50:]):
            if arrival.message.get("type") == "log":
                return str(arrival.message["data"]["line"])
        return ""

    def close(self) -> None:
        """Leave for good."""
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the viewer does not end"

    def _run(self) -> None:
        delay = _FIRST
        while not self._ended.wait(delay if self.connections else 0):
            before = len(self.arrivals)
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                if self._follow() in _FINAL:
                    return
            delay = _FIRST if len(self.arrivals) > before else min(2 * delay, _LONGEST)
            self.connections += 1

    def _follow(self) -> int:
        """Read until the connection closes, and return the close code."""
        since = {"since": self._position} if self._position else {"tail": self._tail}
        url = f"{self._url}&{urlencode(since | {'pos': 1})}"
        headers = {"Cookie": self._cookie}
        with connect(
            url, additional_headers=headers, proxy=None, open_timeout=5, max_size=None
        ) as connection:
            while not self._ended.is_set():
                try:
                    self._take(json.loads(connection.recv(timeout=0.5)))
                except TimeoutError:
                    continue
                except WebSocketException:
                    break
        return connection.close_code or 1006

    def _take(self, message: dict[str, Any]) -> None:
        self.arrivals.append(Arrival(time.monotonic(), message, self.connections))
        if message.get("type") == "log":
            self._position = message["data"].get("pos") or message["timestamp"]
