"""A Node program on ``@mist/client`` that reports its events."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.test_container_stream import numbered
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until

_PROGRAM: Final = Path(__file__).with_name("follow.mjs")
_ROOT: Final = Path(__file__).parents[3]
_BUILT: Final = _ROOT / "clients/typescript/dist/index.js"

#: About 300 lines a second for ten seconds.
_PAUSE_EVERY: Final = 6
LINES: Final = 3_000

Event = dict[str, Any]
Follow = Callable[..., "Follower"]


def require_client() -> None:
    """Require Node and the built client in CI; skip the test elsewhere if they are missing."""
    if shutil.which("node") and _BUILT.is_file():
        return
    reason = "node or the built @mist/client is missing (`tox run -e web`)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run_numbers(engine: PrivateEngine, container: str, count: int = LINES) -> Callable[[], None]:
    """Run a container that writes ``count`` numbers, 300 a second, once told to begin.

    A program that follows the log takes any time to start, and would miss the first ones.
    """
    return run_later(engine, container, numbered(count, pause_every=_PAUSE_EVERY))


def run_later(engine: PrivateEngine, container: str, script: str) -> Callable[[], None]:
    """Run a container that runs ``script`` once the returned function has been called."""
    engine.run(container, f"while [ ! -e /tmp/go ]; do sleep 0.1; done; {script}")
    return lambda: engine.say(container, ": >/tmp/go")


def assert_complete(follower: Follower, count: int = LINES, seconds: float = 60.0) -> None:
    """Check that each number came once and in order and that the program then ends by itself."""
    last = str(count - 1)
    follower.wait_for(lambda: last in follower.lines[-1:], f"line {last}", seconds)
    first = int(follower.lines[0])
    assert follower.lines == [str(number) for number in range(first, count)]
    assert follower.of("skipped") == []
    assert set(follower.missing) <= {(0, True)}
    assert follower.end() == 0


class Follower:
    """A program that runs from its creation until it is ended.

    ``events`` has all events in order, ``lines`` the texts of the lines, ``times`` their
    engine times, and ``samples`` the metrics.
    """

    def __init__(self, kind: str, **options: object) -> None:
        argument = json.dumps({"kind": kind, "options": options})
        self._process = subprocess.Popen(
            ["node", _PROGRAM, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.times: list[str] = []
        self.sources: list[str] = []
        self.samples: list[Event] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    # -------------------------------------------------------- waiting

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Wait until ``condition`` holds."""
        try:
            wait_until(condition, what, seconds)
        except AssertionError as error:
            newest = "\n".join(str(event)[:300] for event in self.events[-8:])
            raise AssertionError(f"{error}; the newest events:\n{newest}") from None

    def wait_lines(self, count: int, seconds: float = 60.0) -> list[str]:
        """Wait for at least ``count`` lines and return the lines."""
        self.wait_for(lambda: len(self.lines) >= count, f"{count} lines", seconds)
        return self.lines

    def wait_quiet(self, seconds: float) -> None:
        """Wait for a while, in which no event may come."""
        count = len(self.events)
        threading.Event().wait(seconds)
        assert len(self.events) == count, self.events[count:]

    def wait_state(self, state: str, seconds: float = 30.0) -> Event:
        """Wait until the newest state is ``state`` and return its event."""
        self.wait_for(lambda: self.state == state, f"the state {state}", seconds)
        return self.of("state")[-1]

    @property
    def state(self) -> str:
        """Return the newest reported state; at first there is none."""
        states = self.of("state")
        return str(states[-1]["state"]) if states else ""

    def of(self, kind: str) -> list[Event]:
        """Return the events of a type."""
        return [event for event in list(self.events) if event["type"] == kind]

    @property
    def missing(self) -> list[tuple[int, bool]]:
        """Return how many lines each ``reconnected`` reports as missing, and if that is exact."""
        return [(event["missing"], event["exact"]) for event in self.of("reconnected")]

    # ---------------------------------------------------------------- actions

    def tell(self, command: str) -> None:
        """Call a method of the stream."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def end(self, seconds: float = 10.0) -> int:
        """Abort the signal and return the status with which the program ends by itself."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            return self._process.wait(seconds)
        finally:
            self.destroy()

    def destroy(self) -> None:
        """Kill the program if it is still running."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._thread.join(10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            event = json.loads(text)
            self.events.append(event)
            self.samples += event.get("samples", ())
            for line in event.get("lines", ()) if event["type"] == "lines" else ():
                self.lines.append(line["line"])
                self.times.append(line["time"])
                self.sources.append(line.get("source", ""))
