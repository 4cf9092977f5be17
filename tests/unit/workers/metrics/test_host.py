"""Tests of the host's own metrics, on the host that runs the test."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mist.errors import Exit, SettingsError
from mist.messages import Space
from workers.metrics.host import Host, space


def test_percent_is_used_of_total() -> None:
    """A percentage is used of total, as in the document's example."""
    assert space(4294967296, 17179869184) == Space(4294967296, 17179869184, 25.0)


def test_nothing_of_nothing() -> None:
    """A file system without a size, such as /proc, is not full."""
    assert space(0, 0).percent == 0.0


def test_cpu_is_a_percentage_of_all_cores() -> None:
    """CPU load is between 0 and 100, however many cores there are."""
    cpu = Host("/").cpu()
    assert 0.0 <= cpu.usage <= 100.0
    assert cpu.cores == psutil.cpu_count()


def test_bytes_are_those_of_the_host(tmp_path: Path) -> None:
    """Bytes are integers that agree with their percentage."""
    host = Host(str(tmp_path))
    for figure, total in [
        (host.memory(), psutil.virtual_memory().total),
        (host.disk(), psutil.disk_usage(str(tmp_path)).total),
    ]:
        assert figure.total == total
        assert isinstance(figure.used, int)
        assert figure.percent == pytest.approx(100 * figure.used / figure.total, abs=0.01)


def test_disk_that_vanishes_keeps_its_figures(tmp_path: Path) -> None:
    """A disk that disappears during a remount keeps its last values."""
    path = tmp_path / "mounted"
    path.mkdir()
    host = Host(str(path))
    before = host.disk()
    path.rmdir()
    assert host.disk() == before


def test_disk_that_is_none() -> None:
    """An invalid disk path is a settings error at the start."""
    with pytest.raises(SettingsError, match=r"metrics\.disk_path.*'/no/such/path'") as caught:
        Host("/no/such/path")
    assert caught.value.exit_status is Exit.BAD_CONFIG
