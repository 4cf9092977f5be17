"""``mist logs`` with older lines, ranges, searches and several logs."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from mist.errors import Exit
from tests.integration.conftest import MakeService
from tests.integration.test_commands import lines, started
from tests.integration.test_kills import counting
from tests.integration.test_restarts import end
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

# Both writers print numbers, one of them to both streams.
WRITER = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.02; done"
TWO_STREAMS = "i=0; while [ $i -lt 40 ]; do echo $i; echo $i >&2; i=$((i+1)); sleep 0.03; done"


@pytest.fixture
def other(engine: PrivateEngine, container: str) -> Iterator[str]:
    """The name of a second container."""
    name = f"{container}-2"
    yield name
    engine.remove(name)


def docker_logs(engine: PrivateEngine, name: str, *options: str) -> list[str]:
    """Return what `docker logs --timestamps` prints, standard error last."""
    command = ("docker", "-H", engine.host, "logs", "--timestamps", *options, name)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def stamp(line: str) -> str:
    """Return the time of a line with a prefix."""
    return line.split("|", 1)[1].split(maxsplit=1)[0]


def test_two_writers_are_merged_by_time(
    engine: PrivateEngine, service: Service, container: str, other: str
) -> None:
    """Older lines of two containers come in the order of the engine's times, with their names."""
    engine.run(container, WRITER)
    engine.run(other, TWO_STREAMS)
    wait_until(lambda: {engine.state(n) for n in (container, other)} == {"exited"}, "both ends")
    done = service.mist(
        *("logs", "--container", container, "--container", other),
        *("--since", "1h", "--timestamps", "--no-follow"),
        stderr=subprocess.STDOUT,
        capture_output=False,
        stdout=subprocess.PIPE,
    )
    printed = done.stdout.splitlines()
    assert sorted(printed) == sorted(
        f"{name:{len(other)}} | {line}"
        for name in (container, other)
        for line in docker_logs(engine, name)
    )
    of_one = [stamp(line) for line in printed if line.startswith(f"{container} ")]
    assert of_one == sorted(of_one)
    # Lines of one container's two streams may be out of order in the engine's log.
    for before, after in pairwise(printed):
        if before.startswith(f"{other} |") != after.startswith(f"{other} |"):
            assert stamp(before) <= stamp(after)


def test_live_lines_are_merged_by_time(
    engine: PrivateEngine, service: Service, container: str, other: str
) -> None:
    """Lines that arrive together are put in order; the command ends with the last container."""
    for name in (container, other):
        engine.run(name, f"while [ ! -e /go ]; do sleep 0.05; done; {WRITER}")
    service.add_app(container, container)
    with started(service, "logs", container, "--container", other, "--timestamps") as process:
        assert process.stderr is not None
        notes = {process.stderr.readline().split(" is ")[0] for _ in range(2)}
        for name in (container, other):
            engine.say(name, ": >/go")
        out, err = process.communicate(timeout=60)
    assert notes == {f"mist: {name}: {name}" for name in (container, other)}
    assert err.count("Log stream ended") == 2
    assert process.returncode == Exit.OK
    times = [stamp(line) for line in out.splitlines()]
    assert len(times) == 120
    assert times == sorted(times)


def test_no_line_is_lost_or_repeated_at_the_seam(
    engine: PrivateEngine, service: Service, container: str
) -> None:
    """Live lines follow older ones, in a search as well, while the container writes."""
    engine.run(container, counting(300, 7).replace("sleep 600", "sleep 1"))
    # More than the broker's memory, so that the oldest lines are only in the log.
    wait_until(lambda: len(engine.lines(container)) > 1_050, "the first lines")
    command = ("logs", "--container", container, "--since", "1h")
    with started(service, *command) as plain, started(service, *command, "--grep", "[05]$") as grep:
        printed, searched = (process.communicate(timeout=60) for process in (plain, grep))
    numbers = [str(n) for n in range(1, 2_101)]
    assert printed[0].splitlines() == numbers
    assert searched[0].splitlines() == numbers[4::5]
    assert "Log stream ended" in printed[1]


def test_collector_that_dies_while_two_logs_are_merged(
    engine: PrivateEngine, make_service: MakeService, container: str, other: str
) -> None:
    """Each line of both comes once, in order."""
    service = make_service(engine)
    for name in (container, other):
        engine.run(name, counting(300, 6).replace("sleep 600", "sleep 1"))
    names = ("--container", container, "--container", other)
    with started(service, "logs", *names, "--since", "1h") as process:
        first = lines(process, 300)
        end(service, f"container/name:{container}")
        assert process.stdout is not None
        assert process.stderr is not None
        # Not communicate(), which does not see what readline() has read ahead.
        printed = [*first, *process.stdout.read().splitlines()]
        assert "skipped" not in process.stderr.read()
    for name in (container, other):
        label = f"{name:{len(other)}} | "
        found = [line.removeprefix(label) for line in printed if line.startswith(label)]
        assert found == [str(n) for n in range(1, 1_801)]


def test_ranges_are_those_of_docker_logs(
    engine: PrivateEngine, service: Service, container: str
) -> None:
    """``--since``, ``--until`` and ``--tail`` choose the lines that `docker logs` chooses."""
    engine.run(container, WRITER)
    wait_until(lambda: engine.state(container) == "exited", "the end")
    times = [line.split()[0] for line in docker_logs(engine, container)]
    dice = random.Random(7)  # the same ranges in each run
    for _ in range(2):
        since, until = (times[n] for n in sorted(dice.sample(range(len(times)), 2)))
        # A moment later, because the engine's range includes the line of its end.
        until = f"{until[:-4]}{int(until[-4:-1]) ^ 1:03d}Z" if until[-2] != "9" else until
        wanted = [
            line
            for line in docker_logs(engine, container, "--since", since, "--until", until)
            if line.split()[0] < until
        ]
        options = ("--since", since, "--until", until, "--timestamps")
        done = service.mist("logs", "--container", container, *options)
        assert done.stdout.splitlines() == wanted
    done = service.mist("logs", "--container", container, "--tail", "7", "--until", times[20])
    assert done.stdout.splitlines() == [str(n) for n in range(13, 20)]
    done = service.mist("logs", "--container", container, "--no-follow", "--grep", "^1", "-v")
    assert done.stdout.splitlines() == [str(n) for n in range(60) if not str(n).startswith("1")]


def test_stopped_and_missing_containers(
    engine: PrivateEngine, service: Service, container: str, other: str
) -> None:
    """What can be read is printed; each log that cannot be followed says why."""
    engine.run(container, "echo one; echo two; exit 3")
    wait_until(lambda: engine.state(container) == "exited", "the end")
    names = ("--container", container, "--container", other)
    done = service.mist("logs", *names, "--grep", "t", check=False)
    assert done.stdout.splitlines() == [f"{container}   | two"]
    assert f"mist: {container}: Container is not running (state: exited)" in done.stderr
    assert f"mist: {other}: Container not found" in done.stderr
    assert done.returncode == Exit.FAILURE
    done = service.mist("logs", "--container", other, "--until", "1s", check=False)
    assert (done.returncode, done.stdout) == (Exit.FAILURE, "")
    assert done.stderr == "mist: Container not found\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name an application, or a container with --container NAME"),
        (["--container", "../x"], "'../x' is not a container name"),
        (["x", "--container", "yy", "--grep", "("], "--grep: '(' is not a valid RE2"),
        (["no-such-app", "--since", "1h"], "there is no application 'no-such-app'"),
    ],
)
def test_wrong_options(service: Service, options: list[str], words: str) -> None:
    """A wrong option gives one line that names the mistake, and no traceback."""
    done = service.mist("logs", *options, check=False)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_ranges_without_a_service(engine: PrivateEngine, make_service: MakeService) -> None:
    """A range needs the supervisor, which starts the reader."""
    service = make_service(engine, start=False)
    done = service.mist("logs", "--container", "xx", "--until", "1h", check=False)
    assert done.returncode == Exit.UNAVAILABLE
    assert re.fullmatch(r"mist: no supervisor takes requests on .*; is mist up\?\n", done.stderr)
