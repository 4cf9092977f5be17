"""Tests of the states that a collector publishes, and of logs that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from bus.replay import Snapshot
from bus.wire import Flag, Header, Kind, Message
from tests.support.collecting import History, container, line, stopped
from workers.container.resume import ResumePoint
from workers.container.states import State
from workers.container.stream import CheckDue, Idle

RESTARTED = "2025-01-15T10:02:00.000000000Z"


@pytest.fixture
def history() -> History:
    """A collector at its start, for a running container without output."""
    return History()


def becomes(history: History, **changes: Any) -> Any:
    """Return a step of a script in which the container changes and the engine says so."""

    def change() -> None:
        history.engine.container = container(**changes)
        history.engine.changes.pending += 1

    return change


def states(history: History) -> list[str]:
    """Return the published states."""
    return [event["data"]["state"] for event in history.events if event["type"] == "status"]


def test_pause_is_published_at_once(history: History) -> None:
    """An event of the engine makes the collector look, and publish what changed."""
    history.following()
    paused = becomes(history, state="paused")
    history.stream(paused, Idle(), Idle(), becomes(history), Idle(), Idle())
    history.steps()
    assert states(history) == ["paused", "running"]


def test_health_is_published(history: History) -> None:
    """Each change of the health is a status, also if the state stays the same."""
    history.engine.container = container(health="starting")
    history.following()
    for health in ("healthy", "healthy", "unhealthy"):
        history.stream(becomes(history, health=health), Idle())
        history.steps(2)
    assert history.kinds == [Kind.STATUS]
    assert len(history.bus.published) == 2


def test_change_without_an_event_is_found_by_the_next_check(history: History) -> None:
    """Where the engine's events cannot be had, the check of the stream finds the change."""
    history.following()
    history.stream(
        lambda: setattr(history.engine, "container", container(state="paused")),
        Idle(),
        CheckDue(False),
        CheckDue(False),
    )
    history.steps()
    assert states(history) == ["paused"]


def test_event_of_another_container_is_none_of_ours(history: History) -> None:
    """Another container that has the name now is left to the next check."""
    history.following()
    history.stream(becomes(history, name="b", state="paused"), Idle())
    history.steps()
    assert history.kinds == []


def test_restart_that_takes_its_time_is_published(history: History) -> None:
    """A container that waits for its restart is shown as restarting, then as running."""
    history.following()
    history.stream()
    history.steps()
    history.engine.looks = [stopped(state="restarting", restarting=True)] * 12
    history.engine.looks.append(container(started=RESTARTED))
    history.until(State.FOLLOWING)
    assert states(history) == ["restarting", "running"]


def test_quick_restart_is_a_single_status(history: History) -> None:
    """A restart within the grace of a stop is told by the new status only."""
    history.following()
    history.stream()
    history.steps()
    history.engine.looks = [*[stopped(state="restarting", restarting=True)] * 3]
    history.engine.looks.append(container(started=RESTARTED))
    history.until(State.FOLLOWING)
    assert states(history) == ["running"]


@pytest.mark.parametrize(
    ("away", "words"),
    [(None, "Removed"), (stopped(state="created"), "Exited (0)"), (stopped("b"), "Exited (0)")],
)
def test_absence_is_told_to_those_who_come_meanwhile(
    history: History, away: Any, words: str
) -> None:
    """A container that is expected back is shown as it is, but only to clients that come now."""
    history.following()
    history.stream()
    history.engine.looks = [away, away]
    history.until(State.AWAY)
    history.until(State.ENDED)
    assert history.kinds == [Kind.STATE, Kind.STATUS, Kind.END]
    assert [event["data"].get("status") for event in history.events[:2]] == [words, words]


def test_container_that_comes_back_is_a_single_status(history: History) -> None:
    """Whoever was there all the time reads one new status."""
    history.following()
    history.stream()
    history.app.replaced = True
    history.engine.looks = [*[stopped()] * 20, container("b")]
    history.until(State.AWAY)
    history.until(State.FOLLOWING)
    assert history.kinds == [Kind.STATE, Kind.STATUS]


@pytest.mark.parametrize(
    ("installation", "expected"), [("ours", 15), ("another", None), ("", None)]
)
def test_deployment_is_named_if_it_was_ours(
    history: History, installation: str, expected: int | None
) -> None:
    """``deployment_id`` is there if this installation's deployment made the container."""
    history.engine.container = container(installation=installation, deployment=15)
    history.steps()
    data = history.events[0]["data"]
    assert data.get("deployment_id") == expected
    assert ("deployment_id" in data) == (expected is not None)


def successor(**known: Any) -> History:
    """Return a collector whose predecessor published a container in this state."""
    before = History()
    before.engine.container = container(**known)
    before.steps()
    kind, flags, code, body = before.bus.published[0]
    header = Header(kind, 1, 1, 1, flags=flags | Flag.APART, code=code)
    log = [Message(b"t", Header(Kind.READY, 1, 1, 900), b"")]
    after = History(opened=True)
    after.out.recall(Snapshot(b"t", 1, 1, 900, log, status=Message(b"t", header, body)))
    return after


def test_successor_of_the_same_state_says_nothing() -> None:
    """A quiet container whose state was published is not published again."""
    history = successor()
    assert history.steps() is State.FOLLOWING
    assert history.kinds == []


@pytest.mark.parametrize(
    "now", [{"state": "paused"}, {"health": "unhealthy"}, {"started": RESTARTED}, {"name": "b"}]
)
def test_successor_tells_what_changed_meanwhile(now: dict[str, Any]) -> None:
    """What changed while no collector was running is published, even after later lines."""
    history = successor()
    history.out.resume_point = ResumePoint(line(59))
    history.engine.container = container(**now)
    history.steps()
    assert history.kinds == [Kind.STATUS]


def unreadable(**state: Any) -> History:
    """Return a collector of such a container."""
    history = History()
    history.engine.unreadable = {"a"}
    history.engine.logs["b"] = [line(1)]
    history.engine.container = container(**state)
    return history


def test_log_that_cannot_be_read_is_refused_once() -> None:
    """The status comes first, then one error with 4410 that names driver and remedy."""
    history = unreadable()
    assert history.steps(20) is State.ENDED
    assert history.kinds == [Kind.STATUS, Kind.ERROR, Kind.READY]
    assert history.codes == [4410]
    (text,) = history.messages
    for part in ("'syslog'", "json-file", "local", "journald", "--log-driver"):
        assert part in text


def test_container_with_another_driver_is_followed() -> None:
    """A container that was created again with a driver that can be read goes on as usual."""
    history = unreadable()
    history.steps(3)
    history.engine.container = container("b")
    history.until(State.FOLLOWING)
    history.stream()
    history.steps(2)
    assert history.kinds[3:] == [Kind.STATUS, Kind.LOG]


def test_unreadable_log_of_a_stopped_container() -> None:
    """A container that is not running is to be started first."""
    history = unreadable(running=False, state="exited")
    history.steps()
    assert history.codes == [4409]
    assert history.kinds == [Kind.STATUS, Kind.ERROR, Kind.READY]


def test_replacement_by_a_container_that_cannot_be_read() -> None:
    """A stream whose container is replaced by one with another driver ends with 4410."""
    history = History()
    history.engine.unreadable = {"a"}
    history.engine.logs["b"] = []
    history.engine.container = container("b")
    history.following()
    history.stream()
    history.steps()
    history.engine.container = container("a")
    history.until(State.ENDED)
    assert history.codes == [4410]
    assert history.kinds[-2:] == [Kind.STATUS, Kind.ERROR]


def test_container_removed_while_its_log_is_requested(history: History) -> None:
    """The next look decides: another container has the name, or there is none."""
    del history.engine.logs["a"]
    assert history.steps() is State.STARTING
    assert history.kinds == []
    history.engine.container = container("b")
    history.engine.logs["b"] = [line(1)]
    assert history.steps() is State.FOLLOWING
    assert history.lines == ["line 1"]
