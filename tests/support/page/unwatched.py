"""A browser without Playwright, to measure the page's own speed.

Playwright has the browser report every WebSocket frame, which at thousands of lines a second
costs more than the page itself. Here the browser sends only what a test asks for.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any, Final, Self

import requests
import websocket

from tests.support.page.chromium import ARGUMENTS, chromium
from tests.support.wait import wait_until

_SECONDS: Final = 60.0


class NoPage(Exception):
    """There is no page at the moment, because another one is being loaded."""


class UnwatchedPage:
    """A page in a Chromium of its own, controlled by the DevTools protocol."""

    def __init__(self, profile: Path, url: str) -> None:
        command = [chromium(), "--headless", "--remote-debugging-port=0", *ARGUMENTS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "--window-size=1440,900", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._numbers = itertools.count(1)
        port_file = profile / "DevToolsActivePort"
        wait_until(port_file.exists, "Chromium to listen", _SECONDS)
        wait_until(lambda: "\n" in port_file.read_text(), "Chromium's port")
        port = port_file.read_text().splitlines()[0]
        targets = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS).json()
        page = next(each for each in targets if each["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=_SECONDS, suppress_origin=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise NoPage(answer["error"]["message"])
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        """Return an expression's awaited value."""
        result = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = _SECONDS) -> None:
        """Wait until an expression is true; one that cannot be evaluated yet is not."""
        guarded = f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"

        def true() -> bool:
            try:
                return bool(self.evaluate(guarded))
            except NoPage:
                return False

        wait_until(true, expression, seconds, every=0.1)

    def heap(self) -> float:
        """Return the size of the page's objects in bytes after a garbage collection."""
        self.send("HeapProfiler.collectGarbage")
        return float(self.send("Runtime.getHeapUsage")["usedSize"])
