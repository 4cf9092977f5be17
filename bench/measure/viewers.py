"""The viewers of a deployment, compared with as many clients of a container's log.

Both receive the same lines through the same broker and web tier, but a deployment's
records are written to its file first.  The figure is messages per CPU second.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import Final

from bench.context import Bench
from bench.measure.fanout import DRIP_RATE, UNIT, mist, notes, rounds
from bench.results import Row, at_least, compared

_VIEWERS: Final = 100


def measure(bench: Bench) -> list[Row]:
    """Measure lines one at a time, and lines at full speed."""
    return [
        _row(bench, "line by line", bench.pick(2_000, 500), DRIP_RATE),
        _row(bench, "burst", bench.pick(60_000, 20_000), None),
    ]


def _row(bench: Bench, pace: str, count: int, rate: float | None) -> Row:
    name = f"deployment, {_VIEWERS} viewers, {pace}"
    with ExitStack() as stack:
        turns = {
            "deployment": mist(stack, _VIEWERS, count, bench, name, rate, deployment=True),
            "container": mist(stack, _VIEWERS, count, bench, f"{name}: container", rate),
        }
        figures = rounds(turns, bench)
    notes(bench, name, figures)
    ours, theirs = (median(figure.rate for figure in figures[server]) for server in turns)
    return compared(f"{name}: container", ours, UNIT, theirs, at_least(0.5))
