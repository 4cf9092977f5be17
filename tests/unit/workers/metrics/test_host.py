"""The host's own figures, of the host that runs the test."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mist.errors import Exit, SettingsError
from mist.messages import Space
from workers.metrics.host import Host, space


def test_percent_is_used_of_total() -> None:
    """The document's own example."""
    assert space(4294967296, 17179869184) == Space(4294967296, 17179869184, 25.0)


def test_nothing_of_nothing() -> None:
    """A file system of no size, such as /proc, is not full."""
    assert space(0, 0).percent == 0.0


def test_cpu_is_a_percentage_of_all_cores() -> None:
    """Between 0 and 100 however many cores there are."""
    cpu = Host("/").cpu()
    assert 0.0 <= cpu.usage <= 100.0
    assert cpu.cores == psutil.cpu_count()


def test_bytes_are_those_of_the_host(tmp_path: Path) -> None:
    """Integers, and a percentage that agrees with them."""
    host = Host(str(tmp_path))
    for figure, total in [
        (host.memory(), psutil.virtual_memory().total),
        (host.disk(), psutil.disk_usage(str(tmp_path)).total),
    ]:
        assert figure.total == total
        assert isinstance(figure.used, int)
        assert figure.percent == pytest.approx(100 * figure.used / figure.total, abs=0.01)


def test_disk_that_vanishes_keeps_its_figures(tmp_path: Path) -> None:
    """A remount does not end the sampler."""
    path = tmp_path / "mounted"
    path.mkdir()
    host = Host(str(path))
    before = host.disk()
    path.rmdir()
    assert host.disk() == before


def test_disk_that_is_none() -> None:
    """A wrong path is a mistake in the settings, and said at the start."""
    with pytest.raises(SettingsError, match=r"metrics\.disk_path.*'/no/such/path'") as caught:
        Host("/no/such/path")
    assert caught.value.exit_status is Exit.BAD_CONFIG
