"""Each line once while the engine rotates log files: every driver, size and speed.

The long form; ``tests/integration/test_rotation.py`` has the short one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import container, engine
from tests.support.service.engine import PrivateEngine
from tests.support.service.rotating import Case, Rotating, stop_for

__all__ = ["container", "engine"]

pytestmark = [pytest.mark.engine, pytest.mark.whole]

CASES = [
    Case("json-file", {"max-size": "5m", "max-file": "10"}, 2_500, 8_000, 66),
    Case("json-file", {"max-size": "5m", "max-file": "10"}, 20_000, 1_000, 3_000),
    Case("json-file", {"max-size": "10m", "max-file": "3"}, 40_000, 1_000, 3_000),
    Case("json-file", {"max-size": "10m", "max-file": "1"}, 30_000, 1_000, 3_000),
    Case("json-file", {"max-size": "1m", "max-file": "10"}, 10_000, 1_000, 1_000),
    Case("json-file", {"max-size": "1m", "max-file": "10"}, 40_000, 1_000, 3_000),
    Case("json-file", {"max-size": "1m", "max-file": "1"}, 3_000, 1_000, 100),
    Case("json-file", {"max-size": "256k", "max-file": "1"}, 2_000, 1_000, 100),
    Case("json-file", {"max-size": "64k", "max-file": "1"}, 6_000, 200, 300),
    Case("json-file", {"max-size": "64k", "max-file": "20"}, 20_000, 200, 1_000),
    Case("json-file", {"max-size": "64k", "max-file": "3"}, 20_000, 300, 1_000),
    Case("json-file", {"max-size": "1m", "max-file": "5", "compress": "true"}, 3_000, 1_000, 100),
    Case("json-file", {"max-size": "1m", "max-file": "5", "compress": "true"}, 9_000, 1_000, 1_000),
    Case(
        "json-file", {"max-size": "1m", "max-file": "9", "compress": "true"}, 20_000, 1_000, 3_000
    ),
    Case(
        "json-file", {"max-size": "5m", "max-file": "5", "compress": "true"}, 30_000, 1_000, 3_000
    ),
    Case("local", {"max-size": "1m"}, 3_000, 1_000, 100),
    Case("local", {"max-size": "1m"}, 9_000, 1_000, 1_000),
    Case("local", {"max-size": "1m", "max-file": "9"}, 20_000, 1_000, 3_000),
    Case("local", {"max-size": "1m", "compress": "false"}, 20_000, 1_000, 3_000),
    Case("local", {"max-size": "5m"}, 40_000, 1_000, 3_000),
    Case("local", {}, 60_000, 1_000, 3_000),
    # As fast as the engine takes them.
    Case("json-file", {"max-size": "64k", "max-file": "600"}, 40_000, 500, 1e9),
    Case("json-file", {"max-size": "1m", "max-file": "60"}, 40_000, 1_000, 1e9),
    Case("json-file", {"max-size": "1m", "max-file": "60", "compress": "true"}, 40_000, 1_000, 1e9),
    Case("local", {"max-size": "1m", "max-file": "60"}, 40_000, 1_000, 1e9),
]

STOPPED = [
    (Case("json-file", {"max-size": "1m", "max-file": "60"}, 60_000, 1_000, 3_000), 12.0),
    (Case("json-file", {"max-size": "10m", "max-file": "9"}, 60_000, 1_000, 3_000), 12.0),
    (
        Case(
            "json-file",
            {"max-size": "1m", "max-file": "60", "compress": "true"},
            40_000,
            1_000,
            3_000,
        ),
        4.0,
    ),
    (Case("local", {"max-size": "1m", "max-file": "60"}, 40_000, 1_000, 3_000), 4.0),
    (Case("local", {}, 60_000, 1_000, 3_000), 12.0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_line_once(
    engine: PrivateEngine,
    container: str,
    tmp_path: Path,
    case: Case,
) -> None:
    """No line is lost or repeated, whatever the speed, the sizes and the compression."""
    with Rotating(engine, container, tmp_path, case) as rotating:
        outcome = rotating.run()
    assert (outcome.lost, outcome.repeated, outcome.told) == (0, 0, 0)


@pytest.mark.parametrize(("case", "seconds"), STOPPED, ids=str)
def test_a_collector_that_was_stopped_catches_up(
    engine: PrivateEngine,
    container: str,
    tmp_path: Path,
    case: Case,
    seconds: float,
) -> None:
    """Many files are rotated and compressed while the collector does not run."""
    with Rotating(engine, container, tmp_path, case) as rotating:
        outcome = rotating.run(stop_for(seconds))
    assert (outcome.lost, outcome.repeated, outcome.told) == (0, 0, 0)
