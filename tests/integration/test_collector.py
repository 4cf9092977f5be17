"""The collector of container logs on a real engine, with a real broker."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.types import LogConfig

from bus.wire import Kind
from mist import settings as s
from tests.support.service.collecting import Collecting
from tests.support.service.engine import PrivateEngine
from tests.support.service.mute import MutableEngine
from tests.support.service.programs import kill
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

#: Writes a number every few milliseconds, forever.
COUNT = "i=0; while true; do i=$((i+1)); echo line $i; usleep 2000 2>/dev/null || sleep 0.01; done"
WAIT = "sleep 1000"

Collect = Callable[..., Collecting]


@pytest.fixture
def collect(container: str) -> Iterator[Collect]:
    """Start a broker and a collector: ``collect(engine, **settings of the section collector)``."""
    made: list[Collecting] = []

    def start(
        engine: PrivateEngine | MutableEngine,
        replay: s.ReplaySettings | None = None,
        **limits: float,
    ) -> Collecting:
        settings = s.Settings(
            engine=s.EngineSettings(host=engine.host, timeout_seconds=5),
            collector=s.CollectorSettings(**({"retry_seconds": 0.2} | limits)),  # type: ignore[arg-type]
            replay=replay or s.ReplaySettings(lines=10_000),
        )
        made.append(Collecting(settings, container))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.close()


def ready(one: Collecting) -> bool:
    """Return True if the history is complete."""
    return one.count(Kind.READY) > 0


def numbers(one: Collecting) -> list[int]:
    """Return the numbers of the lines "line N"."""
    return [int(text.split()[1]) for text in one.lines() if text.startswith("line ")]


def assert_gapless(one: Collecting) -> None:
    """Check that every number came once and in order, and that the bus lost none."""
    got = numbers(one)
    assert got == list(range(got[0], got[0] + len(got)))
    assert one.gaps == 0


def grown(one: Collecting, by: int = 100) -> Callable[[Collecting], bool]:
    """Return a condition: that many more lines than now."""
    goal = len(one.lines()) + by
    return lambda _: len(one.lines()) >= goal


def test_status_then_tail_then_live(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """The messages have the documented order, the engine's timestamps and both streams."""
    engine.run(container, f"echo one; echo two >&2; {WAIT}")
    wait_until(lambda: len(engine.lines(container)) == 2, "two lines")
    one = collect(engine)
    one.until(ready)
    assert one.kinds() == [Kind.STATUS, Kind.LOG, Kind.READY]
    engine.say(container, "echo three")
    one.until(lambda c: len(c.lines()) == 3)
    status, *lines = one.events()
    assert status["data"]["container"] == container
    assert status["data"]["state"] == "running"
    assert status["data"]["status"].startswith("Up ")
    assert sorted(line["data"]["line"] for line in lines[:2]) == ["one", "two"]
    assert lines[2]["data"] == {"line": "three", "stream": "stdout"}
    streams = {line["data"]["line"]: line["data"]["stream"] for line in lines}
    assert streams["two"] == "stderr"
    assert all(len(line["timestamp"]) == 30 for line in lines)
    assert not one.got[-1].header.history


def test_a_missing_container(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """A missing container is an error with 4404; once it appears, its stream begins."""
    one = collect(engine)
    one.until(lambda c: c.count(Kind.ERROR))
    assert one.events()[-1]["data"]["message"] == "Container not found"
    assert one.got[-1].header.code == 4404
    engine.run(container, f"echo here; {WAIT}")
    one.until(lambda c: c.lines() == ["here"])
    assert one.count(Kind.ERROR) == 1


def test_a_stopped_container(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """A stopped container gives its tail and an error with 4409; once started, it is followed."""
    engine.run(container, "echo last words; exit 3")
    wait_until(lambda: engine.state(container) == "exited", "the exit")
    one = collect(engine)
    one.until(ready)
    assert one.kinds() == [Kind.STATUS, Kind.LOG, Kind.ERROR, Kind.READY]
    assert one.got[1].header.history
    events = one.events()
    assert events[0]["data"]["state"] == "exited"
    assert events[0]["data"]["status"].startswith("Exited (3)")
    assert events[-1]["data"]["message"] == "Container is not running (state: exited)"
    assert one.got[-2].header.code == 4409
    engine.client.start(container)
    one.until(lambda c: c.lines() == ["last words"] * 2 and c.count(Kind.END))


def test_long_lines_of_both_streams(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """Long lines are joined from the engine's pieces and cut at the documented length."""
    script = (
        "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do x=$x$x; done; "
        "echo $x; echo $x$x$x$x$x$x$x$x$x >&2"
    )
    engine.run(container, f"{script}; echo é; {WAIT}")
    one = collect(engine)
    one.until(lambda c: len(c.lines()) == 3)
    long = "0123456789abcdef" * 2**13
    assert sorted(one.lines(), key=len) == ["é", long, long * 8 + " … [truncated]"]


def test_a_terminals_long_line_of_wide_characters(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """The engine cuts a terminal's line within characters, and no time stamp is left in it."""
    script = "x=漢漢漢漢漢漢漢漢; for i in 1 2 3 4 5 6 7 8 9 10; do x=$x$x; done; echo $x"
    engine.run(container, f"{script}; {WAIT}", tty=True)
    one = collect(engine)
    one.until(lambda c: len(c.lines()) == 1)
    [text] = one.lines()
    # A cut character became three U+FFFD.
    assert set(text) <= {"漢", "\ufffd"}
    assert text.count("漢") + text.count("\ufffd") // 3 == 8 * 2**10


@pytest.mark.parametrize("tty", [False, True])
def test_long_lines_of_the_driver_local(
    engine: PrivateEngine, container: str, collect: Collect, tty: bool
) -> None:
    """The driver local ends a line of several pieces with no newline; it is a line all the same."""
    script = "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11; do x=$x$x; done; sleep 2; "
    # A terminal's last long line ends with the next line's time stamp.
    script += f"for i in 1 2 3; do echo $i$x; done; {'echo end; ' if tty else ''}{WAIT}"
    engine.run(container, script, tty=tty, log_driver="local")
    one = collect(engine)
    expected = [f"{number}{'0123456789abcdef' * 2**11}" for number in (1, 2, 3)]
    expected += ["end"] if tty else []
    one.until(lambda c: len(c.lines()) == len(expected))
    assert one.lines() == expected
    again = collect(engine)
    again.until(lambda c: len(c.lines()) == len(expected))
    assert again.lines() == expected


def test_a_tail_of_long_lines_begins_with_a_whole_one(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """The engine's tail counts pieces of 16 KiB, so it can begin within a line."""
    engine.run(
        container,
        "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11; do x=$x$x; done; "
        f"for i in $(seq 1 60); do echo $i $x$x$x; done; echo done; {WAIT}",
    )
    wait_until(lambda: engine.lines(container)[-1:] == ["done"], "sixty long lines")
    one = collect(engine, s.ReplaySettings(lines=50))
    one.until(ready)
    heads = [int(line.split()[0]) for line in one.lines()[:-1]]
    assert heads == list(range(heads[0], 61))
    assert len(heads) >= 50
    assert all(len(line) > 3 * 2**15 for line in one.lines()[:-1])


def test_a_terminal(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """A terminal's log has no frames, but CR LF, repeated timestamps and a final prompt."""
    engine.run(
        container,
        "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11; do x=$x$x; done; "
        "echo $x; printf '\\033[32mgreen\\033[0m\\n'; printf '$ '; sleep 2",
        tty=True,
    )
    one = collect(engine)
    one.until(lambda c: c.count(Kind.END) or c.count(Kind.ERROR))
    assert [len(line) for line in one.lines()] == [2**15, len("\x1b[32mgreen\x1b[0m"), 2]
    assert one.lines() == ["0123456789abcdef" * 2**11, "\x1b[32mgreen\x1b[0m", "$ "]
    engine.client.start(container)
    one.until(lambda c: len(c.lines()) == 6 and c.count(Kind.END) + c.count(Kind.ERROR) == 2)
    assert one.lines()[3:] == one.lines()[:3]


def test_a_prompt_that_stays_the_last_line(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """A prompt without a newline is published once, also if the next run writes nothing."""
    engine.run(container, "[ -e /x ] || printf 'hello\\n$ '; touch /x; sleep 2", tty=True)
    one = collect(engine)
    one.until(lambda c: c.count(Kind.END) or c.count(Kind.ERROR))
    engine.client.start(container)
    one.until(lambda c: c.count(Kind.END) + c.count(Kind.ERROR) == 2)
    assert one.lines() == ["hello", "$ "]
    assert one.count(Kind.SKIPPED) == 0


def test_a_natural_exit(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """The stream gives the last lines, the container's status, the end and code 1000."""
    engine.run(
        container, "trap 'seq 1 500 | sed s/^/line\\ / 2>/dev/null; exit 7' USR1; sleep 1000 & wait"
    )
    one = collect(engine)
    one.until(ready)
    engine.client.kill(container, "SIGUSR1")
    one.until(lambda c: c.count(Kind.END))
    assert one.kinds()[-2:] == [Kind.STATUS, Kind.END]
    assert one.got[-1].header.code == 1000
    assert one.events()[-2]["data"]["status"].startswith("Exited (")
    assert len(one.lines()) == len(engine.lines(container))


def test_docker_stop_ends_at_once(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """The stream of a stopped container ends at once, not after ten seconds."""
    engine.run(container, COUNT)
    one = collect(engine)
    one.until(grown(one))
    engine.client.stop(container)
    stopped = time.monotonic()
    one.until(lambda c: c.count(Kind.END))
    assert time.monotonic() - stopped < 5
    assert_gapless(one)
    assert one.lines() == engine.lines(container)


def test_docker_restart_goes_on(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """A restart gives a new status in the same stream, with every line once."""
    engine.run(container, f"echo born; {COUNT}")
    # A busy engine takes more than the default between the end and the start.
    one = collect(engine, stop_grace_seconds=2)
    one.until(grown(one))
    for _ in range(3):
        engine.client.restart(container)
        one.until(grown(one))
    engine.client.stop(container)
    one.until(lambda c: c.count(Kind.END))
    assert one.lines() == engine.lines(container)
    assert one.lines().count("born") == 4
    assert one.count(Kind.STATUS) == 5
    assert one.count(Kind.END) == 1


def test_a_restart_policy_goes_on(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """A container that crashes and is restarted by the engine is followed."""
    engine.run(container, "echo start; sleep 0.3; echo crash; exit 1", restart="always")
    one = collect(engine)
    one.until(lambda c: c.lines().count("start") >= 4)
    assert one.count(Kind.END) + one.count(Kind.ERROR) == 0
    lines = one.lines()
    assert lines == ["start", "crash"] * (len(lines) // 2) + ["start"] * (len(lines) % 2)


def test_a_container_recreated_under_its_name(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """After ``rm -f`` and ``run``: the old one's last lines, a status, the new one's first."""
    engine.run(container, f"echo old; {WAIT}")
    one = collect(engine)
    one.until(ready)
    engine.remove(container)
    engine.run(container, f"echo new; {WAIT}")
    one.until(lambda c: c.lines() == ["old", "new"])
    assert one.kinds() == [Kind.STATUS, Kind.LOG, Kind.READY, Kind.STATUS, Kind.LOG]


def test_a_container_replaced_by_renaming(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """A container that is renamed, as Compose does, is no longer followed, though it still runs."""
    engine.run(container, f"echo old; {WAIT}")
    one = collect(engine, silence_seconds=0.5)
    one.until(ready)
    engine.client.rename(container, f"{container}-old")
    try:
        engine.run(container, f"echo new; {WAIT}")
        one.until(lambda c: c.lines() == ["old", "new"])
    finally:
        engine.remove(f"{container}-old")
    assert one.count(Kind.STATUS) == 2


def test_a_removed_container_ends(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """The stream waits a bounded time for a removed container to be recreated."""
    engine.run(container, f"echo old; {WAIT}")
    one = collect(engine, restart_seconds=0.6)
    one.until(ready)
    engine.remove(container)
    one.until(lambda c: c.count(Kind.END))
    assert one.events()[-2]["data"]["state"] == "exited"
    engine.run(container, f"echo new; {WAIT}")
    one.until(lambda c: c.lines() == ["old", "new"])


def test_rotation_loses_nothing(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """No line is lost when small files rotate under the follower."""
    engine.run(
        container,
        f"i=0; while [ $i -lt 8000 ]; do i=$((i+1)); echo line $i; done; {WAIT}",
        log_options={"max-size": "64k", "max-file": "20"},
    )
    one = collect(engine, silence_seconds=0.5)
    one.until(lambda c: numbers(c)[-1:] == [8000])
    engine.say(container, "i=8000; while [ $i -lt 12000 ]; do i=$((i+1)); echo line $i; done")
    one.until(lambda c: numbers(c)[-1:] == [12000])
    assert_gapless(one)


def test_a_stream_that_falls_silent_is_resumed(
    engine: PrivateEngine, container: str, collect: Collect, tmp_path: Path
) -> None:
    """If an open stream falls silent while the engine has newer lines, every line comes once."""
    engine.run(container, COUNT)
    stand_in = MutableEngine(engine.socket, tmp_path / "d.sock")
    one = collect(stand_in, silence_seconds=0.3)
    for _ in range(3):
        one.until(grown(one))
        stand_in.mute()
    one.until(grown(one))
    stand_in.close()
    assert_gapless(one)


def test_streams_that_begin_later_than_the_engine_answers(
    engine: PrivateEngine, container: str, collect: Collect, tmp_path: Path
) -> None:
    """Lines between the end of what was read and the beginning of the stream are not lost."""
    engine.run(container, COUNT)
    stand_in = MutableEngine(engine.socket, tmp_path / "d.sock")
    stand_in.late = 0.2
    one = collect(stand_in, silence_seconds=0.3)
    for _ in range(2):
        one.until(grown(one))
        stand_in.mute()  # leads to a new stream
    one.until(grown(one))
    stand_in.close()
    assert_gapless(one)


def test_a_killed_collector_resumes(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """The successor continues right after the last published line."""
    engine.run(container, COUNT)
    one = collect(engine)
    one.until(grown(one))
    for _ in range(3):
        assert one.collector is not None
        kill(one.collector)
        one.start(resume=True)
        one.until(grown(one))
    assert_gapless(one)
    assert one.count(Kind.READY) == 1


def test_a_collector_killed_at_its_start_resumes(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """An incomplete history is completed, wherever it was cut short."""
    engine.run(container, f"for i in $(seq 1 5000); do echo line $i; done; {WAIT}")
    wait_until(lambda: len(engine.lines(container)) == 5000, "the lines")
    one = collect(engine)
    one.until(lambda c: len(c.lines()) > 0)
    assert one.collector is not None
    kill(one.collector)
    one.start(resume=True)
    one.until(lambda c: ready(c) and len(c.lines()) >= 5000)
    assert_gapless(one)


def test_a_restarted_broker_loses_nothing(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """While the broker is away, the engine keeps the lines."""
    engine.run(container, COUNT)
    one = collect(engine)
    one.until(grown(one))
    kill(one.broker)
    wait_until(lambda: engine.lines(container)[-1] != one.lines()[-1], "newer lines")
    one.start_broker()
    one.until(grown(one))
    assert_gapless(one)


def test_sigterm_ends_it_cleanly(engine: PrivateEngine, container: str, collect: Collect) -> None:
    """SIGTERM ends the collector at once with status 0."""
    engine.run(container, COUNT)
    one = collect(engine)
    one.until(ready)
    assert one.collector is not None
    one.collector.terminate()
    one.collector.join(2)
    assert one.collector.exitcode == 0


def test_the_engines_restart_shows_in_nothing(
    own_engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """With live-restore the container keeps running, and its log continues."""
    own_engine.run(container, COUNT)
    one = collect(own_engine)
    one.until(grown(one))
    own_engine.restart()
    one.until(grown(one, 500))
    assert_gapless(one)
    assert one.count(Kind.STATUS) == 1
    assert one.count(Kind.ERROR) == 0


def test_an_engine_that_is_away(
    own_engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """A long absence is an error with 1013; afterwards come a status and every line once."""
    own_engine.run(container, COUNT)
    one = collect(own_engine, restart_seconds=0.3)
    one.until(grown(one))
    own_engine.stop()
    one.until(lambda c: c.count(Kind.ERROR))
    assert one.events()[-1]["data"]["message"] == "Docker Engine is unreachable"
    assert one.got[-1].header.code == 1013
    own_engine.start()
    one.until(grown(one, 500))
    assert_gapless(one)
    assert one.count(Kind.STATUS) == 2


def test_an_engine_that_was_never_there(
    own_engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """An engine that was never available gives the same error."""
    own_engine.run(container, f"echo hello; {WAIT}")
    own_engine.stop()
    one = collect(own_engine)
    one.until(lambda c: c.count(Kind.ERROR))
    assert one.got[-1].header.code == 1013
    own_engine.start()
    one.until(lambda c: c.lines() == ["hello"] and ready(c))


def test_an_engine_that_hangs(own_engine: PrivateEngine, container: str, collect: Collect) -> None:
    """Nothing is lost while the daemon is suspended."""
    own_engine.run(container, COUNT)
    one = collect(own_engine, silence_seconds=0.3)
    one.until(grown(one))
    os.kill(own_engine.pid, signal.SIGSTOP)
    try:
        before = len(one.lines())
        with pytest.raises(AssertionError):
            one.until(grown(one, 5_000), seconds=3)
    finally:
        os.kill(own_engine.pid, signal.SIGCONT)
    one.until(lambda c: len(c.lines()) > before + 200)
    assert_gapless(one)


def test_a_log_driver_that_cannot_be_read(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """A log that cannot be read gives its status and one error that names the driver."""
    host = engine.client.create_host_config(network_mode="none", log_config=LogConfig(type="none"))
    engine.client.create_container(
        "mist-test/busybox:1", ["/bin/sh", "-c", WAIT], name=container, host_config=host
    )
    engine.client.start(container)
    one = collect(engine)
    one.until(lambda c: c.count(Kind.ERROR))
    assert "does not support reading: it is 'none'" in one.events()[-1]["data"]["message"]
    assert [message.header.code for message in one.got if message.header.code] == [4410]
    assert one.kinds()[:2] == [Kind.STATUS, Kind.ERROR]


def test_a_deployment_may_take_its_time(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """While a deployment replaces the container, a stop does not end the stream."""
    engine.run(container, f"echo old; {WAIT}")
    one = collect(engine, stop_grace_seconds=0.1)
    one.until(ready)
    one.notices.update({one.app.id})
    engine.client.stop(container)
    with pytest.raises(AssertionError):
        one.until(lambda c: c.count(Kind.END), seconds=1)
    engine.client.rename(container, f"{container}-old")
    try:
        engine.run(container, f"echo new; {WAIT}")
        one.until(lambda c: c.lines() == ["old", "new"])
    finally:
        engine.remove(f"{container}-old")
    assert one.count(Kind.STATUS) == 2


def test_an_application_that_is_pointed_to_another_container(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """The collector waits for a container and learns its new name from the supervisor alone."""
    one = collect(engine)
    one.until(lambda c: c.count(Kind.ERROR))
    other = f"{container}-other"
    engine.run(other, f"echo other; {WAIT}")
    try:
        with contextlib.closing(sqlite3.connect(one.paths.database)) as database, database:
            database.execute("UPDATE apps SET container = ?", (other,))
        one.notices.update(())
        one.until(lambda c: c.lines() == ["other"])
    finally:
        engine.remove(other)


def test_rotation_while_the_broker_is_away(
    engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """A log's rotation is not trusted after a while in which its stream could not be read."""
    engine.run(
        container,
        f"i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done; {WAIT}",
        log_options={"max-size": "128k", "max-file": "50"},
    )
    one = collect(engine)
    one.until(lambda c: numbers(c)[-1:] == [100])
    kill(one.broker)
    engine.say(container, "i=100; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done")
    one.start_broker()
    one.until(lambda c: numbers(c)[-1:] == [20000])
    assert_gapless(one)


def test_a_killed_engine_shows_in_nothing(
    own_engine: PrivateEngine, container: str, collect: Collect
) -> None:
    """Killing the daemon is only an interruption if it comes back soon."""
    own_engine.run(container, COUNT)
    one = collect(own_engine, restart_seconds=60)
    one.until(grown(one))
    own_engine.kill()
    own_engine.start()
    one.until(grown(one, 500))
    assert_gapless(one)
    assert one.count(Kind.ERROR) == 0
