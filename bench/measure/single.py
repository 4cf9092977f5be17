"""One container's log to one client: its history, and live at full speed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from bench import containers
from bench.context import Bench
from bench.load import process
from bench.load.process import Outcome
from bench.processes import Peer, shared_counter
from bench.results import Row, at_least, compared
from bench.service import SHORT_LINGER, WholeService, run_service
from bench.yardsticks.engine import DockerLogs

_TIMEOUT = 120.0
_NAME = "one container"
_UNIT = "lines / s"


class Pair(NamedTuple):
    """Seconds for all lines, for the service and for ``docker logs``."""

    ours: float
    theirs: float


class Setting(NamedTuple):
    """The objects that all rounds share."""

    bench: Bench
    service: WholeService
    writer: Peer
    load: Peer
    lines: int


def measure(bench: Bench) -> list[Row]:
    """Measure both rows in turns with ``docker logs``."""
    lines, rounds = bench.pick(200_000, 40_000), bench.pick(3, 1)
    with ExitStack() as stack:
        setting = Setting(
            bench,
            stack.enter_context(run_service(bench, _settings(lines))),
            stack.enter_context(containers.writer()),
            stack.enter_context(process.start(shared_counter())),
            lines,
        )
        tails = [_tail(setting, f"bench-tail-{turn}") for turn in range(rounds)]
        lives = [_live(setting, f"bench-live-{turn}") for turn in range(rounds)]
    return [
        _row(f"{_NAME}: tail of {lines:,} lines", lines, tails),
        _row(f"{_NAME}: live at full speed", lines, lives),
    ]


def _settings(lines: int) -> dict[str, object]:
    """Return settings for a replay buffer and a ring that hold all lines."""
    room = lines * 1_024  # more than a line with its JSON takes
    return {
        "replay.lines": lines + 1_000,
        "replay.bytes": room,
        "streams.ring_lines": lines + 1_000,
        "streams.ring_bytes": room,
        **SHORT_LINGER,
    }


def _row(name: str, lines: int, turns: list[Pair]) -> Row:
    ours = lines / median(turn.ours for turn in turns)
    theirs = lines / median(turn.theirs for turn in turns)
    return compared(name, ours, _UNIT, theirs, at_least(0.9))


def _tail(setting: Setting, name: str) -> Pair:
    """Measure from the connect, without a running collector, to the last line."""
    bench, lines = setting.bench, setting.lines
    setting.writer.ask("attach", [containers.start(bench.engine, name)])
    setting.writer.ask("flood", 0, lines)
    # The history must be complete, or the engine's writing is measured, too.
    containers.await_line(bench.engine, name, lines)
    app = setting.service.add(name)
    setting.service.without_collector()  # of the previous round
    begin = time.monotonic()
    setting.load.ask("collected", setting.service.logs(app, f"&tail={lines}"), 1)
    outcome: Outcome = setting.load.ask("until", lines, _TIMEOUT)
    ours = outcome.ended - begin
    _check(setting)
    bench.note(_NAME, f"tail: load generator {outcome.share:.0%} of a core")
    begin = time.monotonic()
    with DockerLogs(bench.engine.host, name) as logs:
        theirs = logs.read(lines) - begin
    bench.engine.remove(name)
    return Pair(ours, theirs)


def _live(setting: Setting, name: str) -> Pair:
    """Measure from the first write to the last line; both readers have shown a line before."""
    return Pair(_live_ours(setting, name), _live_theirs(setting, f"{name}-yardstick"))


def _live_ours(setting: Setting, name: str) -> float:
    bench, writer, load = setting.bench, setting.writer, setting.load
    app = setting.service.add(name)
    writer.ask("attach", [containers.start(bench.engine, name)])
    load.ask("collected", setting.service.logs(app), 1)
    writer.ask("flood", 0, 1)
    load.ask("until", 1, _TIMEOUT)
    begin = time.monotonic()
    load.send("until", setting.lines, _TIMEOUT)
    written = writer.ask("flood", 1, setting.lines - 1)
    outcome: Outcome = load.answer()
    _check(setting)
    bench.engine.remove(name)
    bench.note(
        _NAME,
        f"live: load generator {outcome.share:.0%} of a core; the container wrote for "
        f"{written:.2f} s, the client had everything after {outcome.ended - begin:.2f} s",
    )
    return outcome.ended - begin


def _live_theirs(setting: Setting, name: str) -> float:
    bench, writer = setting.bench, setting.writer
    writer.ask("attach", [containers.start(bench.engine, name)])
    with DockerLogs(bench.engine.host, name, "--follow") as logs:
        writer.ask("flood", 0, 1)
        logs.read(1)
        begin = time.monotonic()
        writer.send("flood", 1, setting.lines - 1)
        seconds = logs.read(setting.lines) - begin
        writer.answer()
    bench.engine.remove(name)
    return seconds


def _check(setting: Setting) -> None:
    setting.load.ask("check", setting.lines)
    setting.load.ask("disconnect")
