"""One of 1,000 clients that does not read, and its effect on the others."""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from statistics import median

from bench import lines, publisher
from bench.context import Bench
from bench.fanout import APP, Fanout
from bench.lines import Stream, frame
from bench.load import process
from bench.load.process import Outcome
from bench.processes import Peer, shared_counter, shared_numbers
from bench.results import Row, at_most, compared
from bench.stats import milliseconds, percentile

_NAME = "a stalled client"
_CLIENTS = 1_000
_RATE = 20.0
_TIMEOUT = 120.0
# Enough to fill the kernel's buffers on both sides, so that the client really stalls.
_FILL = 4_000


def measure(bench: Bench) -> list[Row]:
    """Take turns with and without the stalled client; each turn begins with a burst."""
    count, rounds = bench.pick(40, 30), bench.pick(9, 2)
    total = 2 * rounds * (count + _FILL)
    sent, progress = shared_numbers(total), shared_counter()
    without: list[array[float]] = []
    with_stalled: list[array[float]] = []
    with ExitStack() as stack:
        fanout = stack.enter_context(Fanout())
        writer = stack.enter_context(publisher.start(fanout.settings, fanout.paths, progress, sent))
        load = stack.enter_context(process.start(progress, sent))
        writer.ask("begin", APP, lines.STATUS)
        load.ask("stream", Stream(frame(lines.STATUS), total))
        load.ask("exact", fanout.address("&tail=0"), _CLIENTS - 1)
        for turn in range(rounds):
            without.append(_turn(load, writer, 2 * turn * (count + _FILL), count))
            load.ask("stall", fanout.address("&tail=0"))
            with_stalled.append(_turn(load, writer, (2 * turn + 1) * (count + _FILL), count))
            load.ask("unstall")  # the next round starts without it
    for name, turns in (("without", without), ("with", with_stalled)):
        bench.note(_NAME, f"{name}, per turn: " + "; ".join(map(milliseconds, turns)))
    return [
        compared(
            f"{_NAME} among 1,000: p99 of the others",
            _p99(with_stalled),
            "ms",
            _p99(without),
            at_most(1.1),
        )
    ]


def _p99(turns: list[array[float]]) -> float:
    """Return the median of all turns' p99 in ms, because a hiccup affects only one turn."""
    return median(percentile(turn, 99) for turn in turns) * 1e3


def _turn(load: Peer, writer: Peer, first: int, count: int) -> array[float]:
    """Return the delays of ``count`` lines at 20 a second, after a burst that fills all buffers."""
    load.send("until", first + _FILL, _TIMEOUT)
    writer.ask("burst", first, _FILL)
    load.answer()
    load.send("until", first + _FILL + count, _TIMEOUT)
    writer.ask("drip", first + _FILL, count, _RATE)
    outcome: Outcome = load.answer()
    return outcome.delays
