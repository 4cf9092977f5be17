"""Random queries of a container's log, answered by ``docker logs`` and ``grep``."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.service.engine import PrivateEngine
from tests.support.service.reading import Reading

_TEXTS: Final = ("WARN", "warn", "ERROR", "line 9", "key", "ümläut", "nowhere", "{", "00 ", "")
_PATTERNS: Final = ("[0-9]+77 ", "^line 1.*9}$", "(slow|ERROR) .*5", "log, .*: 4+2", "^$")


def script(lines: int) -> str:
    """Return a script whose lines go to both streams, some of them only once in a while."""
    return f"""
seq 1 {lines} | while read i; do
  case $i in
    *77) echo "WARN slow request $i ümläut" >&2;;
    *5000) echo "ERROR $i";;
    *) echo "line $i of the log, {{\\"key\\": $i}}";;
  esac
done
"""


def agree(engine: PrivateEngine, name: str, log: Reading, examples: int) -> None:
    """Compare random queries of ``log`` with what the commands print."""
    stamped = _docker_logs(engine, name)
    times = clean_cuts([line.partition(b" ")[0] for line in stamped])

    # A query of a whole log takes seconds, and each smaller one that fails as long.
    @settings(
        max_examples=examples,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        query = _query(data.draw, times, len(stamped))
        assert log.text(**query).splitlines() == _expected(engine, name, query)

    compare()


def clean_cuts(times: list[bytes]) -> list[str]:
    """Return the times that no earlier line reaches, and all later ones do.

    Under load, lines of stdout and stderr get time stamps out of order, and ``docker logs
    --until`` ends at the first later one.
    """
    highest = itertools.accumulate(times[:-1], max, initial=b"")
    lowest = [*itertools.accumulate(reversed(times), min)][::-1]
    found = zip(times, highest, lowest, strict=True)
    return [time.decode() for time, before, after in found if before < time == after]


def _query(draw: Callable[[Any], Any], times: list[str], lines: int) -> dict[str, Any]:
    """Return the parameters of a request."""
    places = st.lists(st.integers(0, len(times) - 1), min_size=2, max_size=2, unique=True)
    since, until = (times[place] for place in sorted(draw(places)))
    query: dict[str, Any] = {}
    if draw(st.booleans()):
        query["since"] = since
    if draw(st.booleans()):
        query["until"] = until
    if draw(st.booleans()):
        query["order"] = "desc"
    elif tail := draw(st.one_of(st.none(), st.integers(1, lines))):
        query["tail"] = tail
    if limit := draw(st.one_of(st.none(), st.integers(1, 2_000))):
        query["limit"] = limit
    query["regex"] = int(draw(st.booleans()))
    query["q"] = draw(st.sampled_from(_PATTERNS if query["regex"] else _TEXTS))
    return query | {name: int(draw(st.booleans())) for name in ("case", "invert")}


def _expected(engine: PrivateEngine, name: str, query: dict[str, Any]) -> list[bytes]:
    """Return the lines that the commands print for a query."""
    tail, until = query.get("tail"), query.get("until")
    options = [f"--{option}={query[option]}" for option in ("since", "until") if option in query]
    if tail and not until:  # with it, the command takes the tail first
        options.append(f"--tail={tail}")
    ranged = _docker_logs(engine, name, *options)
    if until:  # the command's range includes the moment at its end
        ranged = [line for line in ranged if not line.startswith(until.encode())]
    texts = [line.partition(b" ")[2] for line in (ranged[-tail:] if tail else ranged)]
    if query["q"]:
        texts = _grep(texts, query)
    return (texts[::-1] if "order" in query else texts)[: query.get("limit")]


def _docker_logs(engine: PrivateEngine, name: str, *options: str) -> list[bytes]:
    """Return the lines that the ``docker`` command prints, with time stamps."""
    command = ["docker", "--host", engine.host, "logs", "--timestamps", *options, name]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, timeout=100
    )
    return done.stdout.splitlines()


def _grep(lines: list[bytes], query: dict[str, Any]) -> list[bytes]:
    """Return the lines that grep prints."""
    flags = ["-aE" if query["regex"] else "-aF"]
    flags += [flag for flag, on in (("-i", not query["case"]), ("-v", query["invert"])) if on]
    done = subprocess.run(
        ["grep", *flags, "-e", query["q"]],
        input=b"".join(line + b"\n" for line in lines),
        capture_output=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()
