"""A log of a million lines, read whole in both directions with bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.faults.conftest import Site
from tests.support.service.reading import Reading
from tests.support.service.units import Units
from tests.support.wait import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.whole, pytest.mark.timeout(600)]

LINES: Final = 1_000_000
MOST_MEMORY: Final = 64 << 20


def test_a_million_lines(site: Site) -> None:
    """The text is what ``docker logs`` prints, and a reader takes at most 64 MiB."""
    engine, service, admin = site
    engine.run("million", f"seq -w 1 {LINES}")
    wait_until(lambda: engine.state("million") == "exited", "the container to write", 300)
    expected = bytes(engine.client.logs("million")).splitlines()
    assert len(expected) == LINES
    log = Reading(service, "/api/containers/million/logs", admin)
    with peak_memory(service) as peak:
        assert log.text().splitlines() == expected
        assert log.text(order="desc").splitlines() == expected[::-1]
        assert log.text(tail=LINES - 10).splitlines() == expected[10:]
        assert log.text(q="0999999").splitlines() == [expected[999_998]]
    assert 0 < max(peak) <= MOST_MEMORY


@contextmanager
def peak_memory(service: Units) -> Iterator[list[int]]:
    """Record the largest resident size of each reader, in bytes."""
    peak = [0]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.05):
            for process in service.processes():
                with suppress(psutil.Error, OSError, IndexError):
                    if process.name().startswith("mist reader"):
                        status = Path(f"/proc/{process.pid}/status").read_text("ascii")
                        peak[0] = max(peak[0], int(status.split("VmHWM:")[1].split()[0]) << 10)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
