"""Tests of the engine's figures, as Docker 20.10 and 28 answer."""

from __future__ import annotations

from typing import Any

import pytest

from workers.containers.engine_stats import reading_of

ANSWER: dict[str, Any] = {
    "read": "2026-01-02T03:04:05.5Z",
    "cpu_stats": {"cpu_usage": {"total_usage": 77}},
    "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 100}},
    "pids_stats": {"current": 3},
    "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"op": "Read", "value": 1},
            {"op": "write", "value": 2},
            {"op": "read", "value": 4},
            {"op": "Total", "value": 99},
        ]
    },
}


def test_reading() -> None:
    """Every figure of the answer, whatever the case of the directions."""
    reading = reading_of(ANSWER)
    assert reading is not None
    assert reading[1:] == (77, 900, 4000, 15, 26, 5, 2, 3)


def test_version_1_of_cgroups() -> None:
    """The cache of the whole cgroup counts."""
    stats = {"inactive_file": 1, "total_inactive_file": 300}
    reading = reading_of(ANSWER | {"memory_stats": {"usage": 1000, "limit": 1, "stats": stats}})
    assert reading is not None
    assert reading.memory_used == 700


def test_parts_that_are_missing() -> None:
    """Without a network, or a controller, the figures are 0."""
    answer = ANSWER | {"networks": None, "pids_stats": {}, "blkio_stats": {}}
    reading = reading_of(answer)
    assert reading is not None
    assert reading[4:] == (0, 0, 0, 0, 0)
    answer = ANSWER | {"blkio_stats": {"io_service_bytes_recursive": None}}
    assert reading_of(answer) is not None


@pytest.mark.parametrize("memory", [{}, None, {"stats": {}}])
def test_kernel_that_does_not_count_memory(memory: object) -> None:
    """The other figures are there."""
    reading = reading_of(ANSWER | {"memory_stats": memory})
    assert reading is not None
    assert (reading.cpu, reading.memory_used, reading.memory_limit) == (77, 0, 0)


def test_container_that_does_not_run() -> None:
    """The engine answers with zeros, also for the time."""
    assert reading_of({"read": "0001-01-01T00:00:00Z", "memory_stats": {}}) is None
