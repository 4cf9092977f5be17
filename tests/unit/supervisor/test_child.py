"""Tests of one child's life, without a process."""

from __future__ import annotations

import errno
import signal

import pytest

from mist.crashes import describe
from mist.errors import Exit
from mist.settings import Settings, SupervisorSettings
from supervisor import specs
from supervisor.child import Child
from supervisor.specs import Spec
from supervisor.states import State
from tests.support.supervisor import World

SETTINGS = Settings(
    supervisor=SupervisorSettings(
        backoff_seconds=1.0,
        backoff_limit_seconds=4.0,
        crash_limit=5,
        crash_window_seconds=60.0,
        stop_seconds=10.0,
    )
)
BROKER = specs.broker(SETTINGS)
CONTAINER = specs.container(SETTINGS, 7)
WEB = specs.web(SETTINGS)
DEPLOYMENT = specs.deployment(SETTINGS, 7)


def begun(spec: Spec) -> tuple[World, Child]:
    """Return a running child."""
    world = World()
    child = Child(spec, SETTINGS.supervisor, world.start, world.clock)
    child.start("test")
    return world, child


def ends(world: World, child: Child, code: int) -> None:
    """End the child's process."""
    world.last.code = code
    assert child.reap()


def test_running_child_is_left_alone() -> None:
    """A running child has nothing to reap and nothing due."""
    _world, child = begun(CONTAINER)
    assert not child.reap()
    assert child.state is State.RUNNING
    assert child.due is None


def test_stop_asks_first() -> None:
    """A stop sends SIGTERM and allows the time of the specification."""
    world, child = begun(CONTAINER)
    child.stop("test")
    assert world.last.signals == [signal.SIGTERM]
    assert child.due == world.now + 10.0


def test_stopped_child_is_idle_whatever_its_status() -> None:
    """A stopped child is idle whatever its exit status."""
    world, child = begun(CONTAINER)
    child.stop("test")
    ends(world, child, -signal.SIGTERM)
    assert (child.state, child.due) == (State.IDLE, None)


def test_child_that_does_not_stop_is_killed() -> None:
    """A child that does not stop in time gets one SIGKILL."""
    world, child = begun(CONTAINER)
    child.stop("test")
    world.now += 9.9
    assert not child.tick()
    world.now += 0.2
    assert child.tick()
    assert world.last.signals == [signal.SIGTERM, signal.SIGKILL]
    assert (child.state, child.due) == (State.KILLING, None)
    ends(world, child, -signal.SIGKILL)
    assert child.state is State.IDLE


def test_stop_twice_is_stop_once() -> None:
    """A second stop neither signals nor extends the time."""
    world, child = begun(CONTAINER)
    child.stop("test")
    world.now += 5
    child.stop("again")
    assert world.last.signals == [signal.SIGTERM]
    assert child.due == world.now + 5


def test_crash_backs_off_and_resumes() -> None:
    """A crash backs off, and the successor is told that it follows a crash."""
    world, child = begun(CONTAINER)
    ends(world, child, 1)
    assert (child.state, child.due) == (State.BACKOFF, world.now + 1.0)
    world.now += 1.0
    assert child.tick()
    assert (child.state, child.restarts, world.last.resume) == (State.RUNNING, 1, True)


def test_back_off_grows_up_to_its_limit() -> None:
    """Each crash within the window doubles the wait, up to the limit."""
    world, child = begun(CONTAINER)
    waits = []
    for _ in range(4):
        ends(world, child, 1)
        assert child.due is not None
        waits.append(child.due - world.now)
        world.now = child.due
        child.tick()
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_back_off_forgets_old_crashes() -> None:
    """Crashes outside of the window do not add up."""
    world, child = begun(CONTAINER)
    for _ in range(20):
        world.now += 61.0
        ends(world, child, 1)
        assert child.due == world.now + 1.0
        world.now += 1.0
        child.tick()
    assert child.state is State.RUNNING


def crash_until_failed(world: World, child: Child) -> None:
    """Crash as often as the limit allows."""
    for _ in range(4):
        ends(world, child, 1)
        assert child.due is not None
        world.now = child.due
        child.tick()
    ends(world, child, -signal.SIGSEGV)


def test_crashes_up_to_the_limit_fail() -> None:
    """A child that reaches the crash limit fails, and its state says why."""
    world, child = begun(CONTAINER)
    crash_until_failed(world, child)
    assert child.state is State.FAILED
    assert child.why == "crashed: killed by SIGSEGV (5 times)"
    assert child.due == world.now + 60.0


def test_failed_child_gets_another_chance_after_the_window() -> None:
    """A failed child is started again after the window."""
    world, child = begun(CONTAINER)
    crash_until_failed(world, child)
    world.now += 60.0
    assert child.tick()
    assert child.state is State.RUNNING


@pytest.mark.parametrize("status", [Exit.BAD_CONFIG, Exit.UNAVAILABLE, Exit.NO_PERMISSION])
def test_cannot_start_is_not_a_crash(status: Exit) -> None:
    """A child that cannot start fails at once instead of backing off."""
    world, child = begun(CONTAINER)
    ends(world, child, status)
    assert (child.state, child.exit_status) == (State.FAILED, status)
    assert child.why == f"cannot start: exit status {int(status)}"


def test_child_that_has_given_up_is_not_started_again() -> None:
    """A child that gave up with a reason is not started again, whatever its status."""
    world, child = begun(WEB)
    child.reason = "the web tier cannot start: a bug"
    ends(world, child, Exit.FAILURE)
    assert (child.state, child.exit_status) == (State.FAILED, Exit.FAILURE)
    assert child.why == "gave up: exit status 1"
    child.start("another chance")
    assert child.reason == ""


def test_one_shot_finishes() -> None:
    """A one-shot child that exits with 0 is finished."""
    world, child = begun(DEPLOYMENT)
    ends(world, child, 0)
    assert (child.state, child.due) == (State.FINISHED, None)


def test_one_shot_is_resumed_once() -> None:
    """A one-shot child is resumed once; its second crash is final."""
    world, child = begun(DEPLOYMENT)
    ends(world, child, -signal.SIGKILL)
    assert child.due is not None
    world.now = child.due
    child.tick()
    assert world.last.resume
    ends(world, child, -signal.SIGKILL)
    assert child.state is State.FAILED
    assert child.due is None


def test_permanent_child_that_ends_by_itself_has_crashed() -> None:
    """A permanent child that exits by itself has crashed, even with status 0."""
    world, child = begun(BROKER)
    ends(world, child, 0)
    assert child.state is State.BACKOFF


def test_process_that_cannot_be_started_backs_off() -> None:
    """A process that cannot be started, because the machine has no room, is retried later."""
    world = World()
    world.refuse_to_start = OSError("no more processes")
    child = Child(CONTAINER, SETTINGS.supervisor, world.start, world.clock)
    child.start("test")
    assert (child.state, child.why) == (State.BACKOFF, "cannot be started: no more processes")
    assert not child.active


def test_a_shortage_is_not_a_crash() -> None:
    """A start for which the system is short of something is tried again for as long as it takes."""
    world = World()
    world.refuse_to_start = OSError(errno.EMFILE, "Too many open files")
    child = Child(CONTAINER, SETTINGS.supervisor, world.start, world.clock)
    child.start("subscribed")
    for _ in range(50):
        assert (child.state, child.why) == (
            State.BACKOFF,
            "cannot be started: Too many open files",
        )
        world.now += 1.0
        assert child.tick()
    world.refuse_to_start = None
    world.now += 1.0
    assert child.tick()
    assert (child.state, child.restarts, world.last.resume) == (State.RUNNING, 0, False)


def test_hung_child_is_killed_and_restarted() -> None:
    """A child whose loop stands still is killed at once, and its successor resumes its work."""
    world, child = begun(CONTAINER)
    child.hang(6.04)
    assert world.last.signals == [signal.SIGKILL]
    assert (child.state, child.why) == (State.HUNG, "hung: its loop did not turn for 6.0 s")
    ends(world, child, -signal.SIGKILL)
    assert child.state is State.BACKOFF
    world.now += 1.0
    assert child.tick()
    assert (child.restarts, world.last.resume) == (1, True)
    assert child.why.startswith("hung")


def test_hung_child_that_has_finished_is_finished() -> None:
    """A runner that ended by itself in the last moment does not need a clean-up."""
    world, child = begun(DEPLOYMENT)
    child.hang(12.0)
    ends(world, child, 0)
    assert child.state is State.FINISHED


def test_stop_of_a_hung_child_waits_for_its_end() -> None:
    """A child that was killed because it hung is not asked to stop."""
    world, child = begun(CONTAINER)
    child.hang(6.0)
    child.stop("shutdown")
    assert world.last.signals == [signal.SIGKILL]
    ends(world, child, -signal.SIGKILL)
    assert child.state is State.IDLE


def test_waiting_child_stops_at_once() -> None:
    """A child that waits for its restart stops at once."""
    world, child = begun(CONTAINER)
    ends(world, child, 1)
    child.stop("test")
    assert (child.state, child.due) == (State.IDLE, None)


def test_kill_does_not_ask_twice() -> None:
    """A kill sends SIGKILL to a running child without SIGTERM."""
    world, child = begun(CONTAINER)
    child.kill()
    assert world.last.signals == [signal.SIGTERM, signal.SIGKILL]
    assert child.state is State.KILLING


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit status 3"), (-9, "killed by SIGKILL"), (-200, "killed by signal 200")],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    """Exit codes are described by signal name where there is one."""
    assert describe(code) == words
