"""Every process, every fault: no line is lost without a word, and none is repeated."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.faults import faults
from tests.faults.conftest import Record, Site
from tests.faults.faults import BLINK, ENGINE, HANG, KILL, OURS, PAIRS, PAUSE, TERM, Fault
from tests.faults.verdict import judge, worst
from tests.support.service.engine import PrivateEngine
from tests.support.service.resuming import Viewer
from tests.support.service.service import MIST
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

Cell = tuple[str, Fault, int]

SLOW, FAST = 300, 3_000
#: Lines are written in steps of this many seconds.
STEP = 0.05
VIEWERS = 4
#: The longest interruption, in seconds: where our process was killed, and where it hung.
KILLED, HUNG = 2.0, 10.0
#: A shared machine is late now and then.
SLACK = 1.0
#: An interruption lasts no longer than so many starts of the supervisor's program, one after
#: the other; on a machine that is not busy this is the bound for a kill.
STARTS = 5


def script(rate: int, seconds: float) -> str:
    """Return a script that writes numbers at this rate for about this long."""
    step = int(rate * STEP)
    count = int(rate * seconds)
    write = f"seq $i $((i+{step - 1})); i=$((i+{step})); sleep {STEP}"
    return f"i=0; while [ $i -lt {count} ]; do {write}; done; sleep 36000"


def duration(fault: Fault) -> float:
    """Return how long to write: some seconds before the fault, and some after its effect."""
    if fault.number == HANG.number:
        return 8.0 + (12.0 if fault.seconds is None else fault.seconds)
    return 8.0


def bound(process: str, fault: Fault) -> float:
    """Return the longest interruption that is allowed, in seconds."""
    if process in ENGINE:
        # The engine's own pause is not ours; we have to be back soon after it.
        return (fault.seconds or 5.0) + HUNG
    return (KILLED if fault.number != HANG.number else HUNG) + SLACK


def start_seconds() -> float:
    """Return how long it takes at present to start the supervisor's program."""
    began = time.monotonic()
    subprocess.run([MIST, "supervisor", "--help"], check=True, capture_output=True)
    return time.monotonic() - began


def whole() -> Iterator[Cell]:
    """Yield every cell of the matrix."""
    for rate in (SLOW, FAST):
        for process in (*OURS, *ENGINE):
            for fault in (KILL, TERM, BLINK, PAUSE, HANG):
                # Nobody but the operator ends an engine that hangs.
                if not (process in ENGINE and fault is HANG):
                    yield process, fault, rate
        for pair in PAIRS:
            yield pair, KILL, rate


#: The cells of each test run: every process once at least, and what was once wrong.
SHORT: frozenset[Cell] = frozenset(
    {
        ("supervisor", KILL, FAST),
        ("fork server", KILL, FAST),
        ("broker", KILL, FAST),
        ("collector", KILL, FAST),
        ("collector", TERM, SLOW),
        ("gunicorn worker", KILL, FAST),
        ("gunicorn master", KILL, SLOW),
        ("dockerd", KILL, SLOW),
        ("broker + collector", KILL, FAST),
        ("broker", BLINK, FAST),
        ("broker", HANG, SLOW),
        ("collector", HANG, SLOW),
        ("gunicorn worker", HANG, SLOW),
    }
)


def name_of(cell: Cell) -> str:
    """Return a cell's name among the tests."""
    process, fault, rate = cell
    return f"{process}-{fault.name}-{rate}".replace(" ", "_")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(one, id=name_of(one), marks=[] if one in SHORT else [pytest.mark.whole])
        for one in whole()
    ],
)
def test_no_line_is_lost_without_a_word(site: Site, name: str, record: Record, cell: Cell) -> None:
    """Viewers of numbered lines compare what they got with the engine's log."""
    engine, service, cookie = site
    process, fault, rate = cell
    engine.run(name, script(rate, duration(fault)))
    app = service.add_app(name, name)
    url = service.ws_url("container/logs", appId=app)
    viewers = [Viewer(url, cookie) for _ in range(VIEWERS)]
    targets = []
    try:
        wait_until(lambda: all(int(v.last or 0) > rate for v in viewers), "lines")
        targets = faults.find(service, engine, process)
        fault_at = time.monotonic()
        faults.inject(fault, targets, engine if process in ENGINE else None)
        log = finished_log(engine, name)
        # Whoever does not get the last line has lost lines, which the verdict shows.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all(viewer.last == log[-1] for viewer in viewers), "the end", 30)
    finally:
        faults.wake(targets)
        for viewer in viewers:
            viewer.close()
    verdict = worst(judge(log, list(viewer.arrivals), fault_at) for viewer in viewers)
    record(process, fault.name, rate, verdict)
    assert (verdict.lost, verdict.repeated) == (0, 0), verdict
    longest = bound(process, fault)
    if verdict.interruption > longest:  # perhaps because this machine is slow at present
        longest = max(longest, STARTS * start_seconds())
    assert verdict.interruption <= longest, verdict


def finished_log(engine: PrivateEngine, container: str, seconds: float = 120) -> list[str]:
    """Return the log once the writer has ended, which may take so many seconds."""
    seen: list[str] = []

    def grown() -> bool:
        nonlocal seen
        before, seen = seen, engine.lines(container)
        return bool(seen) and seen == before

    wait_until(grown, "the writer to end", seconds, every=1.0)
    return seen
