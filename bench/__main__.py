"""``python -m bench [--quick] [--only NAME …] [--json FILE]``."""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from bench import report
from bench.context import Bench
from bench.measure import fanout, idle, latency, many, older, single, stalled, start, viewers
from bench.results import Row
from tests.support.isolation import isolate

# A measurement that takes longer has hung; the bench then ends and shows where.
_LONGEST_SECONDS: Final = 900.0

MEASUREMENTS: Final[dict[str, Callable[[Bench], list[Row]]]] = {
    "burst": fanout.burst,
    "drip": fanout.drip,
    "deployment": viewers.measure,
    "container": single.measure,
    "older": older.measure,
    "latency": latency.measure,
    "start": start.measure,
    "memory": idle.memory,
    "idle": idle.cpu,
    "many": many.measure,
    "stalled": stalled.measure,
}


@click.command()
@click.option("--quick", is_flag=True, help="Use small sizes: everything in about two minutes.")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(list(MEASUREMENTS)),
    help="Run only this measurement; may be repeated, with or without --only.",
)
@click.argument("more", nargs=-1, type=click.Choice(list(MEASUREMENTS)), metavar="")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also save the rows here.")
def main(quick: bool, names: tuple[str, ...], more: tuple[str, ...], file: Path | None) -> None:
    """Measure Mist and its yardsticks."""
    # Signals, variables and configurations of the caller must not affect the figures.
    isolate()
    # A SystemExit closes the Bench, and with it everything that the bench has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = report.console()
    with Bench(quick=quick) as bench:
        for name in names + more or MEASUREMENTS:
            faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True)
            begin = time.monotonic()
            console.print(f"[dim]{name} …[/dim]", end="")  # some measurements take minutes
            bench.result.rows += MEASUREMENTS[name](bench)
            console.print(f"[dim] {time.monotonic() - begin:.0f} s[/dim]")
            if file is not None:  # after each measurement, so that an interruption loses little
                report.save(bench.result, file)
        faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True)
    report.show(bench.result, console)


if __name__ == "__main__":
    main()
