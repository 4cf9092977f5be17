"""Tests of the dashboard of ``mist top``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from bus.follower import Item
from bus.wire import Header, Kind, Message
from cli.top import Sparkline, dashboard, sparkline
from cli.top_containers import Containers
from mist import messages
from mist.messages import Cpu, Docker, Figures, HostContainer, MetricsSample, Space
from mist.sizes import human


def sample(usage: float = 25.5, docker: Docker | None = None) -> MetricsSample:
    """Return a sample with this load."""
    return MetricsSample(
        "2025-01-15T10:30:00.000000000Z",
        Cpu(usage, 4),
        Space(4 * 1024**3, 16 * 1024**3, 25.0),
        Space(50 * 1024**3, 500 * 1024**3, 10.0),
        docker or Docker(5, 8, 12),
    )


def drawn(samples: Sequence[MetricsSample], late: bool = False) -> str:
    """Return the dashboard on a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(dashboard(samples, late))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (4 * 1024**3, "4.0 GiB"), (2**40, "1.0 TiB")],
)
def test_bytes_for_people(number: int, text: str) -> None:
    """Bytes use the largest unit in which the number is at least 1."""
    assert human(number) == text


def test_blocks_grow_with_the_percentage() -> None:
    """A block's height grows with the percentage, and 0 and 100 have blocks too."""
    assert sparkline([0, 12.4, 12.5, 50, 99.9, 100]) == "▁▁▂▅██"


def test_newest_values_that_fit() -> None:
    """A chart wider than the terminal drops its oldest values."""
    console = Console(file=io.StringIO(), width=4)
    console.print(Sparkline([100, 0, 0, 0, 100]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "▁▁▁█\n"


def test_dashboard_shows_every_figure() -> None:
    """The dashboard shows load, bytes, counts and the time of the newest sample."""
    text = drawn([sample(90), sample(25.5)])
    for part in ("25.5%", "4 cores", "4.0 GiB of 16.0 GiB", "10.0%", "2025-01-15 10:30:00 UTC"):
        assert part in text
    assert "5 of 8 containers running, 12 images" in text
    assert "█▃" in text


def test_dashboard_without_an_engine() -> None:
    """Unknown counts are not shown as numbers."""
    assert "engine unreachable" in drawn([sample(docker=Docker(None, None, None))])


def test_dashboard_says_that_it_is_old() -> None:
    """The dashboard says when its newest sample is old."""
    assert "no new sample" in drawn([sample()], late=True)


class Source:
    """A topic with prepared messages."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def put(self, kind: Kind, body: bytes) -> None:
        """Add a message."""
        self.items.append(Message(b"containers/host", Header(kind, 1, 1, 1), body))

    def take(self, timeout: float) -> list[Item]:
        """Return what was added, without waiting."""
        assert timeout == 0
        taken, self.items = self.items, []
        return taken


def table(containers: Containers) -> str:
    """Return the table on a terminal of 120 columns."""
    containers.take()
    console = Console(file=io.StringIO(), width=120)
    console.print(containers.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def listed(name: str, status: str, project: str | None = None) -> HostContainer:
    """Return a container with these fields."""
    return HostContainer(name * 2, name, "i", "s", status, None, "", None, project, None)


def test_containers() -> None:
    """Those that run come first, with their figures; control characters are shown."""
    source = Source()
    containers = Containers(source)
    assert "waiting" in table(containers)
    rows = [listed("a", "Created"), listed("c", "Up \x1b[2J1 hour"), listed("b", "Up", "shop")]
    source.put(Kind.STATUS, messages.containers_on_bus(rows, [""] * 3))
    used = Figures(12.34, 1536, 4096, 37.5, 1, 2, 3, 4, 17)
    source.put(Kind.METRICS, messages.all_figures({"bb": used, "cc": used}))
    shown = table(containers).splitlines()
    assert [line.split()[0] for line in shown[1:]] == ["c", "b", "a"]
    assert "12.3%" in shown[1]
    assert "1.5 KiB" in shown[1]
    assert "Up \\x1b[2J1 hour" in shown[1]
    source.put(Kind.ERROR, messages.error("Docker Engine is unreachable"))
    assert "unreachable" in table(containers)


def test_messages_that_are_not_understood() -> None:
    """They change nothing."""
    source = Source()
    containers = Containers(source)
    for kind in (Kind.STATUS, Kind.METRICS, Kind.ERROR):
        source.put(kind, b"{}")
    assert "waiting" in table(containers)
