"""Tests of the dashboard of ``mist top``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from cli.top import Sparkline, dashboard, human, sparkline
from mist.messages import Cpu, Docker, MetricsSample, Space


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
