"""``mist top``: show the host's metrics and its containers live in the terminal."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import click
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bus import topics
from bus.follower import Follower, Item
from bus.wire import Kind, Message
from cli import terminal
from cli.remote.choice import chosen_service, remotely
from cli.top_containers import Containers
from mist import messages
from mist.errors import BusError
from mist.messages import Docker, MetricsSample, Space
from mist.paths import resolve_paths
from mist.settings import MetricsSettings, load_settings
from mist.sizes import human

if TYPE_CHECKING:
    from cli.remote.service import RemoteService

_BLOCKS: Final = "▁▂▃▄▅▆▇█"

# The sampler sends one sample per second; after this long without one, say so.
_LATE_SECONDS: Final = 3.0


@click.command("top")
@click.option("--once", is_flag=True, help="Print the newest sample and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print samples as JSON, one per line.")
@remotely
def command(once: bool, as_json: bool) -> None:
    """Show CPU, memory, disk, Docker counts and all containers, updated once a second.

    The containers are only shown live, because nothing collects them otherwise.
    """
    # A file or a pipe cannot show a live screen.
    once = once or not (as_json or sys.stdout.isatty())
    if (service := chosen_service()) is not None:
        with terminal.quiet_ending():
            _show_remotely(service, once, as_json)
        return
    with terminal.quiet_ending(), terminal.bus_context() as context:
        paths, settings = resolve_paths(), load_settings(or_defaults=True)
        with Follower(context, paths, settings, topics.METRICS, terminal.STDOUT) as follower:
            if once or as_json:
                _print(follower, once, as_json)
            else:
                with Follower(context, paths, settings, topics.CONTAINERS) as containers:
                    _draw(follower, settings.metrics.history_samples, Containers(containers))


class Metrics(Protocol):
    """The source of the samples, on this machine or another."""

    def take(self, timeout: float) -> Sequence[Item]:
        """Return what arrives next; nothing after ``timeout`` seconds."""


def _show_remotely(service: RemoteService, once: bool, as_json: bool) -> None:
    from cli.remote.containers import remote_containers  # noqa: PLC0415
    from cli.remote.metrics import remote_metrics  # noqa: PLC0415

    if once or as_json:
        with remote_metrics(service, 1) as metrics:
            _print(metrics, once, as_json)
        return
    history = MetricsSettings().history_samples
    with remote_metrics(service, history) as metrics, remote_containers(service) as found:
        _draw(metrics, history, None if found is None else Containers(found))


def _print(metrics: Metrics, once: bool, as_json: bool) -> None:
    if as_json:
        _print_json(metrics, once)
    else:
        _print_once(metrics)


def _samples(follower: Metrics, timeout: float) -> list[Message]:
    """Return the next samples, or none after ``timeout`` seconds."""
    found = follower.take(timeout)
    return [
        item for item in found if isinstance(item, Message) and item.header.kind is Kind.METRICS
    ]


def _first(follower: Metrics) -> list[Message]:
    """Return the history; raise BusError if no sample arrives within a few seconds."""
    deadline = time.monotonic() + _LATE_SECONDS
    while time.monotonic() < deadline:
        if found := _samples(follower, deadline - time.monotonic()):
            return found
    raise BusError("no metrics sample has arrived; see `mist status` for the reason")


def _print_json(follower: Metrics, once: bool) -> None:
    newest = _first(follower)[-1:]
    while True:
        for message in newest:
            terminal.write_json(message.body)
        if once:
            return
        newest = _samples(follower, _LATE_SECONDS)


def _print_once(follower: Metrics) -> None:
    sample = messages.read_metrics(_first(follower)[-1].body)
    Console().print(_figures(sample), soft_wrap=True)


def _draw(follower: Metrics, history: int, containers: Containers | None = None) -> None:
    samples = deque(map(_decode, _first(follower)), maxlen=history)
    # Redrawn once per sample.
    with Live(dashboard(list(samples)), auto_refresh=False, screen=True) as live:
        while True:
            arrived = _samples(follower, _LATE_SECONDS)
            samples.extend(map(_decode, arrived))
            shown: RenderableType = dashboard(list(samples), late=not arrived)
            if containers is not None:
                containers.take()
                shown = Group(shown, containers.table())
            live.update(shown, refresh=True)


def _decode(message: Message) -> MetricsSample:
    return messages.read_metrics(message.body)


def dashboard(samples: Sequence[MetricsSample], late: bool = False) -> RenderableType:
    """Return the newest sample above the CPU and memory history; ``samples`` is not empty."""
    newest = samples[-1]
    title = f"mist top · {newest.timestamp[:19].replace('T', ' ')} UTC"
    if late:
        title += " · no new sample"
    courses = Table.grid(padding=(0, 2, 0, 0), expand=True)
    courses.add_column(width=6)
    courses.add_column(ratio=1)
    courses.add_row("cpu", Sparkline([sample.cpu.usage for sample in samples]))
    courses.add_row("memory", Sparkline([sample.memory.percent for sample in samples]))
    return Panel(Group(*_figures(newest).renderables, Text(), courses), title=title)


def _figures(sample: MetricsSample) -> Group:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=6)
    table.add_column(width=24)
    table.add_column(width=6, justify="right")
    table.add_column()
    cores = "1 core" if sample.cpu.cores == 1 else f"{sample.cpu.cores} cores"
    table.add_row("cpu", *_gauge(sample.cpu.usage), cores)
    table.add_row("memory", *_gauge(sample.memory.percent), _bytes(sample.memory))
    table.add_row("disk", *_gauge(sample.disk.percent), _bytes(sample.disk))
    return Group(table, Text.assemble("docker  ", _docker(sample.docker)))


def _gauge(percent: float) -> tuple[ProgressBar, str]:
    style = "red" if percent >= 90 else "yellow" if percent >= 70 else "green"
    bar = ProgressBar(total=100, completed=percent, width=24, complete_style=style)
    return bar, f"{percent:.1f}%"


def _bytes(space: Space) -> str:
    return f"{human(space.used)} of {human(space.total)}"


def _docker(counts: Docker) -> Text:
    if counts.containers_running is None:  # the contract's value for an unreachable engine
        return Text("engine unreachable", style="red")
    return Text(
        f"{counts.containers_running} of {counts.containers_total} containers running, "
        f"{counts.images} images"
    )


class Sparkline:
    """The newest ``values`` (percentages) that fit the width, newest on the right."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self._values[-options.max_width :]).rjust(options.max_width))


def sparkline(values: Sequence[float]) -> str:
    """Return one block character per percentage; each of eight heights covers 12.5 %."""
    return "".join(_BLOCKS[min(7, max(0, int(value / 12.5)))] for value in values)
