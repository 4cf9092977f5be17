"""Older lines at length: a million of them in both directions, and random queries."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.faults.conftest import Site
from tests.support.service.log_queries import agree, script
from tests.support.service.reading import Reading
from tests.support.service.units import Units
from tests.support.wait import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.whole, pytest.mark.timeout(1_800)]

LINES: Final = 1_000_000
MOST_MEMORY: Final = 64 << 20


def test_a_million_lines(site: Site) -> None:
    """The text is what ``docker logs`` prints, byte by byte, and a reader takes at most 64 MiB."""
    engine, service, admin = site
    engine.run("million", f"seq -w 1 {LINES}")
    wait_until(lambda: engine.state("million") == "exited", "the container to write", 300)
    whole = bytes(engine.client.logs("million"))
    lines = whole.splitlines(keepends=True)
    assert len(lines) == LINES
    log = Reading(service, "/api/containers/million/logs", admin)
    with peak_memory(service) as peak:
        assert log.text() == whole
        assert log.text(order="desc") == b"".join(reversed(lines))
        assert log.text(tail=LINES - 10) == b"".join(lines[10:])
        assert log.text(q="0999999") == lines[999_998]
        ends = [line for line in lines if re.search(rb"(?:77|0{4})$", line)]
        for order, expected in (("asc", ends), ("desc", ends[::-1])):
            found = log.text(q="(77|0{4})$", regex=1, order=order)
            assert found == b"".join(expected)
    assert 0 < max(peak) <= MOST_MEMORY


def test_two_hundred_random_queries(site: Site, name: str) -> None:
    """Each gives the lines that ``docker logs`` and ``grep`` print."""
    engine, service, admin = site
    engine.run(name, script(50_000))
    wait_until(lambda: engine.state(name) == "exited", "the container to write", 300)
    agree(engine, name, Reading(service, f"/api/containers/{name}/logs", admin), examples=200)


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
