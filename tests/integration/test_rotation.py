"""Each line once while log files rotate and clocks step; ``tests/faults`` has the long form."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.wire import Kind
from mist import clock
from tests.support.service.collecting import Collecting
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import kill
from tests.support.service.rotating import Case, Rotating, stop_for

pytestmark = pytest.mark.engine

CASES = [
    Case("json-file", {"max-size": "5m", "max-file": "10"}, 12_000, 1_000, 3_000),
    Case("json-file", {"max-size": "128k", "max-file": "1"}, 1_200, 500, 300),
    Case("json-file", {"max-size": "1m", "max-file": "5", "compress": "true"}, 5_000, 1_000, 1_500),
    Case("local", {"max-size": "1m"}, 5_000, 1_000, 1_500),
]

HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_line_once(engine: PrivateEngine, container: str, tmp_path: Path, case: Case) -> None:
    """No line is lost, repeated or out of order while the engine rotates files."""
    with Rotating(engine, container, tmp_path, case) as rotating:
        outcome = rotating.run()
        whole = engine.lines(container)
        assert rotating.collecting.lines()[-len(whole) :] == whole
    assert (outcome.lost, outcome.repeated, outcome.told) == (0, 0, 0)


STOPPED = [
    Case("json-file", {"max-size": "5m", "max-file": "10"}, 9_000, 1_000, 2_000),
    Case("local", {"max-size": "1m", "max-file": "20"}, 9_000, 1_000, 2_000),
]


@pytest.mark.parametrize("case", STOPPED, ids=str)
def test_a_collector_that_was_stopped_catches_up(
    engine: PrivateEngine, container: str, tmp_path: Path, case: Case
) -> None:
    """Several files are rotated and compressed while the collector does not run."""
    with Rotating(engine, container, tmp_path, case) as rotating:
        outcome = rotating.run(stop_for(2.5))
    assert (outcome.lost, outcome.repeated, outcome.told) == (0, 0, 0)


def test_what_was_rotated_away_is_told(
    engine: PrivateEngine, container: str, tmp_path: Path
) -> None:
    """Lines that the engine deleted before they could be read are skipped with a word."""
    case = Case("json-file", {"max-size": "256k", "max-file": "2"}, 9_000, 1_000, 3_000)
    with Rotating(engine, container, tmp_path, case) as rotating:
        outcome = rotating.run(stop_for(2.0))
        events = rotating.collecting.events()
        got = rotating.numbers()
    gaps = sum(later != earlier + 1 for earlier, later in itertools.pairwise(got))
    assert outcome.lost > 0
    assert outcome.repeated == 0
    assert outcome.told >= gaps > 0
    assert {e["data"]["reason"] for e in events if e["type"] == "skipped"} == {"rotated"}


def write_at(path: Path, nanoseconds: int, *texts: str) -> None:
    """Append lines to a log file as an engine whose clock shows another time does.

    The engine really reads them, and filters them by their time stamps.
    """
    records = [
        {"log": f"{text}\n", "stream": "stdout", "time": clock.rfc3339(nanoseconds + 1_000 * index)}
        for index, text in enumerate(texts)
    ]
    with path.open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def at_least(count: int) -> Callable[[Collecting], bool]:
    """Return a condition: that many lines."""
    return lambda c: len(c.lines()) >= count


@pytest.mark.parametrize("options", [{}, {"max-size": "10m", "max-file": "3"}], ids=["one", "many"])
@pytest.mark.parametrize("hours", [(3, 2, 1), (1, 2, 3)], ids=["back", "forward"])
def test_the_engines_clock_steps(
    engine: PrivateEngine,
    container: str,
    tmp_path: Path,
    hours: tuple[int, ...],
    options: dict[str, str],
) -> None:
    """Lines come once and in the order of the log, whatever their time stamps are."""
    case = Case("json-file", options, 50, 20, 1e6)
    with Rotating(engine, container, tmp_path, case) as rotating:
        one = rotating.collecting
        rotating.run()
        log = Path(engine.client.inspect_container(container)["LogPath"])
        wanted = one.lines()
        for hour in hours:
            moment = time.time_ns() + hour * HOUR_NS
            texts = [f"hour {hour} line {number}" for number in range(50)]
            write_at(log, moment, *texts)
            wanted += texts
            one.until(at_least(len(wanted)), 10)
            # The successor of a killed collector finds the place, and what came meanwhile.
            assert one.collector is not None
            kill(one.collector)
            write_at(log, moment - HOUR_NS // 2, f"while away {hour}")
            wanted.append(f"while away {hour}")
            one.start(resume=True)
            one.until(at_least(len(wanted)), 10)
        assert one.lines() == wanted
        assert one.count(Kind.SKIPPED) == 0
