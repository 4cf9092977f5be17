"""Numbered lines through a rotating log and a collector, compared with what was written."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from bus.wire import Kind
from mist import settings as s
from tests.support.service.collecting import Collecting
from tests.support.service.engine import PrivateEngine
from tests.support.service.feed import Feed, number_of


class Case(NamedTuple):
    """A log driver, its options, and the lines that are written to it."""

    driver: str
    options: dict[str, str]
    lines: int
    size: int
    per_second: float

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.driver}-{options}-{self.size}B-{self.per_second:g}/s"


class Outcome(NamedTuple):
    """What became of the lines."""

    written: int
    lost: int
    repeated: int
    told: int
    """The number of ``skipped`` messages."""


class Rotating:
    """One case with its container and its collector."""

    def __init__(self, engine: PrivateEngine, name: str, directory: Path, case: Case) -> None:
        self.case = case
        self.feed = Feed(engine, name, directory, log_driver=case.driver, log_options=case.options)
        settings = s.Settings(
            engine=s.EngineSettings(host=engine.host, timeout_seconds=10),
            replay=s.ReplaySettings(lines=50_000),
        )
        self.collecting = Collecting(settings, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()
        self.collecting.close()

    def run(self, meanwhile: Callable[[Rotating], object] | None = None, **wait: Any) -> Outcome:
        """Write all lines at their pace, and return what came once the last one came."""
        one, case = self.collecting, self.case
        one.start()
        one.until(lambda c: c.count(Kind.READY))
        self.feed.start(case.lines, case.size, case.per_second)
        if meanwhile:
            meanwhile(self)
        while self.feed.busy:
            one.take(0.05)
        deadline = time.monotonic() + wait.get("seconds", 15.0)
        while time.monotonic() < deadline and not self._complete():
            one.take(0.05)
        return self.outcome()

    def numbers(self) -> list[int]:
        """Return the numbers of the lines that came."""
        return [number_of(text) for text in self.collecting.lines()]

    def outcome(self) -> Outcome:
        """Compare the lines that came with those that were written."""
        got = self.numbers()
        seen = set(got)
        back = sum(later <= earlier for earlier, later in itertools.pairwise(got))
        told = sum(event["type"] == "skipped" for event in self.collecting.events())
        repeated = max(len(got) - len(seen), back)
        return Outcome(self.feed.written, self.feed.written - len(seen), repeated, told)

    def _complete(self) -> bool:
        # The newest message is enough, because the lines come in order.
        last = next((m for m in reversed(self.collecting.got) if m.header.kind is Kind.LOG), None)
        return last is not None and b'"line %d ' % self.feed.written in last.body


def stop_for(seconds: float) -> Callable[[Rotating], None]:
    """Return a function that stops the collector for a while, after its first lines."""

    def stop(rotating: Rotating) -> None:
        one = rotating.collecting
        one.until(lambda c: len(c.lines()) >= 500)
        assert one.collector is not None
        assert one.collector.pid is not None
        os.kill(one.collector.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(one.collector.pid, signal.SIGCONT)

    return stop
