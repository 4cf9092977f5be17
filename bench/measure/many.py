"""Many containers that write a little, compared with one that writes as much in total."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from bench import containers
from bench.context import Bench
from bench.load import process
from bench.load.process import Outcome
from bench.processes import Peer, shared_counter
from bench.results import Row, at_least, compared
from bench.service import SHORT_LINGER, WholeService, run_service

_RATE = 100.0
_CLIENTS = 5
_NAME = "many streams"
_TIMEOUT = 120.0


class Figure(NamedTuple):
    """Messages per CPU second of the whole service, and the outcome by the clock."""

    rate: float
    cpu: float
    outcome: Outcome


def measure(bench: Bench) -> list[Row]:
    """Write the same total of lines per second, to five clients per container."""
    streams, seconds = bench.pick(100, 5), bench.pick(10, 3)
    with ExitStack() as stack:
        service = stack.enter_context(run_service(bench, SHORT_LINGER))
        writer = stack.enter_context(containers.writer())
        many = _run(bench, service, writer, streams, int(seconds * _RATE))
        service.without_collector()  # an ending collector takes its CPU seconds out of the sum
        one = _run(bench, service, writer, 1, int(seconds * _RATE * streams), _RATE * streams)
    for name, figure in (("many", many), ("one", one)):
        outcome = figure.outcome
        bench.note(
            _NAME,
            f"{name}: {outcome.rate:,.0f} messages a second by the clock, "
            f"service {figure.cpu / outcome.seconds:.0%} of a core, "
            f"load generator {outcome.share:.0%}",
        )
    name = f"{_NAME}: {streams} containers beside one"
    return [compared(name, many.rate, "messages / CPU s", one.rate, at_least(0.5))]


def _run(  # noqa: PLR0913, PLR0917
    bench: Bench, service: WholeService, writer: Peer, streams: int, lines: int, rate: float = _RATE
) -> Figure:
    """Write ``lines`` lines to each of ``streams`` containers, for five clients each.

    The containers stay until the engine is destroyed, but write nothing more.
    """
    names = [f"bench-many-{streams}-{number}" for number in range(streams)]
    with process.start(shared_counter()) as load:
        writer.ask("attach", [containers.start(bench.engine, name) for name in names])
        for app in [service.add(name) for name in names]:
            load.ask("numbered", service.logs(app), _CLIENTS)
        writer.ask("pace", 0, 10, _RATE)  # warm-up: the collectors are all running afterwards
        load.ask("until", 10, _TIMEOUT)
        before = service.cpu
        load.send("until", lines + 10, _TIMEOUT)
        writer.ask("pace", 10, lines, rate)
        outcome: Outcome = load.answer()
        used = service.cpu - before
    return Figure(outcome.lines / used, used, outcome)
