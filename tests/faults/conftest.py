"""Fixtures of the fault tests, and the tables that they print.

``FAULTS_TABLE`` names a file that gets them as Markdown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.verdict import Verdict
from tests.integration.conftest import (
    container,
    container_name,
    engine,
    engine_or_skip,
    own_engine,
)
from tests.support.service.engine import PrivateEngine
from tests.support.service.units import Units

__all__ = ["container", "engine", "own_engine"]

_HEAD: Final = (
    "| process | fault | lines/s | lost | told | repeated | interruption |",
    "|---|---|--:|--:|--:|--:|--:|",
)
_OUTCOME_HEAD: Final = ("| runner in stage | fault | outcome | after |", "|---|---|---|--:|")
_rows = pytest.StashKey[list[str]]()
_outcomes = pytest.StashKey[list[str]]()

Site = tuple[PrivateEngine, Units, str]
Record = Callable[[str, str, int, Verdict], None]
Outcome = Callable[[str, str, str, float], None]

SETTINGS: Final[dict[str, object]] = {
    "collector.linger_seconds": 1,
    "deployments.settle_seconds": 4,
    "deployments.stop_seconds": 2,
    "supervisor.poll_seconds": 0.2,
}


def pytest_configure(config: pytest.Config) -> None:
    """Begin with empty tables."""
    config.stash[_rows], config.stash[_outcomes] = [], []


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Add a row to the table of streams."""

    def add(process: str, fault: str, rate: int, verdict: Verdict) -> None:
        counts = f"{verdict.lost} | {verdict.told} | {verdict.repeated}"
        row = f"| {process} | {fault} | {rate:,} | {counts} | {verdict.interruption:.1f} s |"
        request.config.stash[_rows].append(row)

    return add


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Add a row to the table of deployments."""

    def add(stage: str, fault: str, status: str, seconds: float) -> None:
        row = f"| {stage} | {fault} | {status} | {seconds:.1f} s |"
        request.config.stash[_outcomes].append(row)

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the tables, and write them to the file that FAULTS_TABLE names."""
    tables = ((_HEAD, config.stash[_rows]), (_OUTCOME_HEAD, config.stash[_outcomes]))
    text = "\n\n".join("\n".join((*head, *rows)) for head, rows in tables if rows)
    if not text:
        return
    terminalreporter.write_line(text)
    if path := os.environ.get("FAULTS_TABLE"):
        Path(path).write_text(f"{text}\n", "utf-8")


@pytest.fixture
def name(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container's name that no other test uses; removed from the site's engine afterwards."""
    found = container_name(request)
    yield found
    site[0].remove(found)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """An engine of its own, both units with two web workers, and the administrator's cookie."""
    with engine_or_skip(PrivateEngine) as engine:
        service = Units(engine.host, SETTINGS, workers=2)
        try:
            service.start()
            yield engine, service, service.login()
        finally:
            service.destroy()
