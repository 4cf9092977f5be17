"""What ``mist top`` draws."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from cli.top import Sparkline, dashboard, human, sparkline
from mist.messages import Cpu, Docker, MetricsSample, Space


def sample(usage: float = 25.5, docker: Docker | None = None) -> MetricsSample:
    """A sample with this load."""
    return MetricsSample(
        "2025-01-15T10:30:00.000000000Z",
        Cpu(usage, 4),
        Space(4 * 1024**3, 16 * 1024**3, 25.0),
        Space(50 * 1024**3, 500 * 1024**3, 10.0),
        docker or Docker(5, 8, 12),
    )


def drawn(samples: Sequence[MetricsSample], late: bool = False) -> str:
    """The dashboard on a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(dashboard(samples, late))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (4 * 1024**3, "4.0 GiB"), (2**40, "1.0 TiB")],
)
def test_bytes_for_people(number: int, text: str) -> None:
    """The largest unit that leaves a number of at least 1."""
    assert human(number) == text


def test_blocks_grow_with_the_percentage() -> None:
    """Both ends of the scale are blocks too."""
    assert sparkline([0, 12.4, 12.5, 50, 99.9, 100]) == "▁▁▂▅██"


def test_newest_values_that_fit() -> None:
    """A course wider than the terminal loses its oldest values."""
    console = Console(file=io.StringIO(), width=4)
    console.print(Sparkline([100, 0, 0, 0, 100]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "▁▁▁█\n"


def test_dashboard_shows_every_figure() -> None:
    """Load, bytes, counts and the time of the newest sample."""
    text = drawn([sample(90), sample(25.5)])
    for part in ("25.5%", "4 cores", "4.0 GiB of 16.0 GiB", "10.0%", "2025-01-15 10:30:00 UTC"):
        assert part in text
    assert "5 of 8 containers running, 12 images" in text
    assert "█▃" in text


def test_dashboard_without_an_engine() -> None:
    """Counts that are unknown are not shown as a number."""
    assert "engine unreachable" in drawn([sample(docker=Docker(None, None, None))])


def test_dashboard_says_that_it_is_old() -> None:
    """A sampler that fell silent is not taken for a host at rest."""
    assert "no new sample" in drawn([sample()], late=True)
