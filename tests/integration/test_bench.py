"""The bench runs and prints its results. Neither times nor ratios are checked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.results import Result
from tests.support.service.engine import PrivateEngine

KEYS = {"name", "value", "unit", "yardstick", "ratio", "target", "met"}


def _bench(name: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--quick", "--only", name, "--json", str(file)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, stdin=subprocess.DEVNULL
    )


def _rows(name: str, file: Path) -> list[dict[str, object]]:
    done = _bench(name, file)
    assert done.returncode == 0, done.stdout + done.stderr
    raw = msgspec.json.decode(file.read_bytes())
    assert all(set(row) == KEYS for row in raw["rows"])
    msgspec.convert(raw, Result)
    rows: list[dict[str, object]] = raw["rows"]
    return rows


def test_a_row_beside_its_yardsticks(tmp_path: Path) -> None:
    """The row has the fan-out and both servers it is compared with; every client is verified."""
    rows = _rows("drip", tmp_path / "bench.json")
    assert [row["name"] for row in rows] == [
        "drip, 100 clients: plain server",
        "drip, 100 clients: floor",
    ]
    assert all(row["yardstick"] for row in rows)


@pytest.mark.engine
def test_a_row_of_the_whole_service(engine: PrivateEngine, tmp_path: Path) -> None:
    """The bench starts its own engine and service; the fixture reports if that is impossible."""
    assert engine.answers()
    rows = _rows("start", tmp_path / "bench.json")
    assert [row["name"] for row in rows] == ["start: cold", "start: warm"]


def test_an_unknown_measurement(tmp_path: Path) -> None:
    """The message lists the known measurements."""
    done = _bench("nonsense", tmp_path / "bench.json")
    assert done.returncode == 2
    assert "burst" in done.stderr
