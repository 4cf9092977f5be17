"""Older lines of a container's log over HTTP, compared with ``docker logs``."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench import containers
from bench.context import Bench
from bench.load import process
from bench.load.download import download
from bench.load.process import Outcome
from bench.processes import BenchError, Peer, shared_counter, shared_numbers
from bench.results import Row, at_least, at_most, below, compared, plain
from bench.service import WholeService, run_service
from bench.stats import milliseconds, percentile
from bench.yardsticks.engine import DockerLogs

_NAME: Final = "older lines"
_UNIT: Final = "lines / s"
_CONTAINER: Final = "bench-older"
_LARGE: Final = "bench-older-large"
_NEWEST: Final = 100
_NEEDLE: Final = "no line has this text"
_VIEWERS: Final = 10
_RATE: Final = 50.0
_TIMEOUT: Final = 120.0

# A whole log, a search that finds everything, and the log from its end.
_MEMORY: Final = ("format=text", "regex=1&q=GET", "order=desc")


class Setting(NamedTuple):
    """The objects that the measurements share, and the lines of the smaller log."""

    bench: Bench
    service: WholeService
    writer: Peer
    load: Peer
    lines: int


def measure(bench: Bench) -> list[Row]:
    """Measure all rows on two containers, of which one has a log of 500 MB."""
    lines, large = bench.pick(500_000, 40_000), bench.pick(3_000_000, 100_000)
    turns, count = bench.pick(5, 1), bench.pick(200, 60)
    sent = shared_numbers(lines + 2 * turns * count)
    with ExitStack() as stack:
        setting = Setting(
            bench,
            stack.enter_context(run_service(bench)),
            stack.enter_context(containers.writer(sent)),
            stack.enter_context(process.start(shared_counter(), sent)),
            lines,
        )
        for name, size in ((_LARGE, large), (_CONTAINER, lines)):
            setting.writer.ask("attach", [containers.start(bench.engine, name)])
            setting.writer.ask("flood", 0, size)
            containers.await_line(bench.engine, name, size)
            stack.callback(bench.engine.remove, name)
        return [
            *_whole_and_search(setting, bench.pick(3, 1)),
            _newest(setting, large, bench.pick(15, 4)),
            _memory(setting),
            _meanwhile(setting, turns, count),
        ]


def _whole_and_search(setting: Setting, rounds: int) -> list[Row]:
    """Take turns with ``docker logs``, alone and with ``grep -F``."""
    seconds: dict[str, list[float]] = {"whole": [], "search": [], "logs": [], "grep": []}
    for _ in range(rounds):
        seconds["whole"].append(_read(setting, "format=text", setting.lines))
        seconds["logs"].append(_docker_logs(setting))
        seconds["search"].append(_read(setting, f"format=text&q={_NEEDLE}", 0))
        seconds["grep"].append(_docker_logs(setting, _NEEDLE))
    rate = {name: setting.lines / median(found) for name, found in seconds.items()}
    return [
        compared(f"{_NAME}: whole log as text", rate["whole"], _UNIT, rate["logs"], at_least(0.8)),
        compared(
            f"{_NAME}: search without hits", rate["search"], _UNIT, rate["grep"], at_least(0.8)
        ),
    ]


def _read(setting: Setting, query: str, lines: int, container: str = _CONTAINER) -> float:
    """Return the seconds for an answer, which has to have so many lines."""
    path = f"/api/containers/{container}/logs?{query.replace(' ', '%20')}"
    found = download(setting.service.address(path))
    if found.lines != lines:
        raise BenchError(f"{path}: {found.lines} lines instead of {lines}")
    return found.seconds


def _docker_logs(setting: Setting, needle: str = "") -> float:
    """Return the seconds for ``docker logs``, perhaps with ``grep``, as a whole."""
    begin = time.monotonic()
    with DockerLogs(setting.bench.engine.host, _CONTAINER, needle=needle) as logs:
        if not needle:
            logs.read(setting.lines)
        logs.finish()
    return time.monotonic() - begin


def _newest(setting: Setting, lines: int, rounds: int) -> Row:
    """Take turns with ``docker logs --tail 100``, the whole process."""
    ours, theirs = [], []
    for _ in range(rounds):
        query = f"format=text&order=desc&limit={_NEWEST}"
        ours.append(_read(setting, query, _NEWEST, _LARGE))
        begin = time.monotonic()
        with DockerLogs(setting.bench.engine.host, _LARGE, "--tail", str(_NEWEST)) as logs:
            logs.read(_NEWEST)
            logs.finish()
        theirs.append(time.monotonic() - begin)
    name = f"{_NAME}: newest {_NEWEST} of {lines:,}"
    return compared(name, median(ours) * 1e3, "ms", median(theirs) * 1e3, at_most(1.5))


def _memory(setting: Setting) -> Row:
    """Measure the largest resident size of readers of a whole log."""
    peaks = []
    for query in _MEMORY:
        peak = Peak(setting.service)
        path = f"/api/containers/{_CONTAINER}/logs?{query}"
        download(setting.service.address(path), peak.look)
        peaks.append(peak.bytes)
    setting.bench.note(
        _NAME,
        "memory: "
        + ", ".join(f"{q} {peak >> 20} MiB" for q, peak in zip(_MEMORY, peaks, strict=True)),
    )
    return plain(f"{_NAME}: memory of a reader, peak", max(peaks) / 2**20, "MiB", below(64))


class Peak:
    """The largest resident size of the only reader that runs."""

    def __init__(self, service: WholeService) -> None:
        self.bytes = 0
        self._service = service
        self._status: Path | None = None

    def look(self) -> None:
        """Ask the kernel, which remembers the largest size of a process."""
        if self._status is None:
            (pid,) = self._service.readers()
            self._status = Path(f"/proc/{pid}/status")
        with suppress(OSError, IndexError):  # the reader may just have ended
            size = self._status.read_text("ascii").split("VmHWM:")[1].split()[0]
            self.bytes = max(self.bytes, int(size) << 10)


def _meanwhile(setting: Setting, turns: int, count: int) -> Row:
    """Take turns with and without a reader of the whole log of the viewers' container."""
    alone, meanwhile = array("d"), array("d")
    app = setting.service.add(_CONTAINER)
    setting.load.ask("numbered", setting.service.logs(app, "&tail=0"), _VIEWERS)
    setting.load.ask("joined", _TIMEOUT)
    for turn in range(turns):
        alone += _delays(setting, 2 * turn * count, count)
        with _downloads(setting):
            meanwhile += _delays(setting, (2 * turn + 1) * count, count)
    setting.load.ask("disconnect")
    setting.bench.note(
        _NAME, f"viewers alone: {milliseconds(alone)}; with a reader: {milliseconds(meanwhile)}"
    )
    return compared(
        f"{_NAME}: p50 of live viewers meanwhile",
        percentile(meanwhile, 50) * 1e3,
        "ms",
        percentile(alone, 50) * 1e3,
        at_most(1.2),
    )


def _delays(setting: Setting, first: int, count: int) -> array[float]:
    setting.load.send("until", first + count, _TIMEOUT)
    setting.writer.ask("pace", setting.lines + first, count, _RATE)
    outcome: Outcome = setting.load.answer()
    return outcome.delays


@contextmanager
def _downloads(setting: Setting) -> Iterator[None]:
    """Download the log again and again meanwhile."""
    done = threading.Event()
    address = setting.service.address(f"/api/containers/{_CONTAINER}/logs?format=text")

    def repeat() -> None:
        while not done.is_set():
            download(address)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
