"""Latency from a container's write to a client's message, one line at a time."""

from __future__ import annotations

from array import array
from contextlib import ExitStack

from bench import containers
from bench.context import Bench
from bench.load import process
from bench.load.process import Outcome
from bench.processes import Peer, shared_counter, shared_numbers
from bench.results import Row, at_most, compared
from bench.service import SHORT_LINGER, run_service
from bench.stats import milliseconds, percentile
from bench.yardsticks import engine

_RATE = 50.0  # slow enough that lines do not share a batch
_TIMEOUT = 120.0
_NAME = "latency"
_CONTAINER = "bench-latency"


def measure(bench: Bench) -> list[Row]:
    """Take turns between the service and a plain socket on the engine's follow stream."""
    count, rounds = bench.pick(300, 100), bench.pick(5, 2)
    sent = shared_numbers((2 * rounds + 1) * count)
    ours, theirs = array("d"), array("d")
    with ExitStack() as stack:
        service = stack.enter_context(run_service(bench, SHORT_LINGER))
        writer = stack.enter_context(containers.writer(sent))
        raw = stack.enter_context(Peer(engine.main, sent))
        load = stack.enter_context(process.start(shared_counter(), sent))
        writer.ask("attach", [containers.start(bench.engine, _CONTAINER)])
        app = service.add(_CONTAINER)
        for turn in range(rounds):
            load.ask("numbered", service.logs(app, "&tail=0"), 1)
            ours += _ours(load, writer, 2 * turn * count, count)
            load.ask("disconnect")
            service.without_collector()  # it would read the lines meant for the yardstick
            raw.ask("open", str(bench.engine.socket), _CONTAINER)
            theirs += _theirs(raw, writer, (2 * turn + 1) * count, count)
            raw.ask("close")
        bench.engine.remove(_CONTAINER)
    bench.note(_NAME, f"mist: {milliseconds(ours)}; engine: {milliseconds(theirs)}")
    return [_row("p50", 50, ours, theirs, 3), _row("p99", 99, ours, theirs, 5)]


def _row(name: str, percent: float, ours: array[float], theirs: array[float], bound: float) -> Row:
    return compared(
        f"{_NAME}: {name}",
        percentile(ours, percent) * 1e3,
        "ms",
        percentile(theirs, percent) * 1e3,
        at_most(bound),
    )


def _ours(load: Peer, writer: Peer, first: int, count: int) -> array[float]:
    load.ask("joined", _TIMEOUT)
    load.send("until", count, _TIMEOUT)
    writer.ask("pace", first, count, _RATE)
    outcome: Outcome = load.answer()
    return outcome.delays


def _theirs(raw: Peer, writer: Peer, first: int, count: int) -> array[float]:
    raw.send("read", count, _TIMEOUT)
    writer.ask("pace", first, count, _RATE)
    delays: array[float] = raw.answer()
    return delays
