"""Tests of the supervisor's report for the web tier."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from mist import health
from mist.health import Health, Report
from mist.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Existing directories."""
    return Paths(tmp_path, tmp_path)


def test_no_report(paths: Paths) -> None:
    """Without a supervisor there is no report, and one that ends removes it."""
    assert health.read(paths) is None
    report = Report(paths)
    assert health.read(paths) is None
    report.write(Health(time.monotonic()))
    assert health.read(paths) is not None
    report.close()
    assert health.read(paths) is None


def test_report_is_replaced_as_a_whole(paths: Paths) -> None:
    """A shorter report leaves nothing of a longer one; only the group may read it."""
    report = Report(paths)
    now = time.monotonic()
    report.write(Health(now, {"broker": "has not responded for 4 s"}, {"metrics": "crashed"}))
    assert health.read(paths) == Health(
        now, {"broker": "has not responded for 4 s"}, {"metrics": "crashed"}
    )
    report.write(Health(now))
    assert health.read(paths) == Health(now)
    assert stat.S_IMODE(paths.health.stat().st_mode) == 0o640
    report.close()


def test_report_has_a_bound(paths: Paths) -> None:
    """Of very many problems some are told."""
    report = Report(paths)
    many = {f"container/{number}": "x" * 1_000 for number in range(500)}
    report.write(Health(time.monotonic(), many, many))
    found = health.read(paths)
    assert found is not None
    assert 0 < len(found.hung) < 500
    report.close()


def test_old_report_is_of_a_supervisor_that_hangs(paths: Paths) -> None:
    """The supervisor itself is reported when its report gets old."""
    report = Report(paths)
    report.write(Health(time.monotonic() - 30.0))
    found = health.read(paths)
    assert found is not None
    assert found.hung == {"supervisor": "has not responded for 30 s"}
    report.close()
