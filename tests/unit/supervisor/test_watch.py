"""Tests of the watch over heartbeats, with a clock and processes of the tests."""

from __future__ import annotations

import signal

from mist.settings import DeploymentSettings, Settings, SupervisorSettings
from supervisor import specs
from supervisor.states import State
from tests.support.supervisor import FakeProcess, History

SETTINGS = Settings(
    supervisor=SupervisorSettings(hang_seconds=6.0, backoff_seconds=0.25),
    deployments=DeploymentSettings(hang_seconds=10.0),
)


class Watched:
    """A supervisor whose clock advances in steps, and children whose loops turn or stand."""

    def __init__(self) -> None:
        self.history = History(SETTINGS)
        self.hanging: set[FakeProcess] = set()
        self.allowance = 0.0

    def child(self, spec: specs.Spec) -> FakeProcess:
        """Start a child and return its process."""
        self.history.supervisor.add(spec)
        process = self.history.world.last
        process.beat = self.history.world.now
        return process

    def passes(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass for everybody; loops that do not hang turn."""
        end = self.history.world.now + seconds
        while self.history.world.now < end:
            self.history.world.now += step
            self.turn()

    def turn(self) -> None:
        """Let each loop turn once, the supervisor's last."""
        for process in self.history.world.started:
            if process not in self.hanging and process.beat is not None:
                process.beat = self.history.world.now + self.allowance
        self.history.supervisor.tick()


def test_loops_that_turn_are_left_alone() -> None:
    """A process that beats is never signalled."""
    world = Watched()
    broker = world.child(specs.broker(SETTINGS))
    world.passes(100.0)
    assert broker.signals == []


def test_hung_process_is_killed_in_time() -> None:
    """A process that does not beat is killed after the time of its specification."""
    world = Watched()
    broker, sampler = world.child(specs.broker(SETTINGS)), world.child(specs.metrics(SETTINGS))
    world.hanging.add(broker)
    world.passes(5.5)
    assert broker.signals == []
    world.passes(2.0)
    assert broker.signals == [signal.SIGKILL]
    assert sampler.signals == []
    row = world.history.supervisor.children["broker"]
    assert row.state is State.HUNG
    assert row.why.startswith("hung: its loop did not turn for 6")


def test_a_pause_of_three_seconds_is_forgiven() -> None:
    """A process that was stopped for a moment is not killed."""
    world = Watched()
    broker = world.child(specs.broker(SETTINGS))
    for _ in range(10):
        world.hanging.add(broker)
        world.passes(3.0)
        world.hanging.clear()
        world.passes(1.0)
    assert broker.signals == []


def test_runner_has_a_time_of_its_own() -> None:
    """A runner, whose interruption fails a deployment, gets more time."""
    world = Watched()
    runner = world.child(specs.deployment(SETTINGS, 1))
    world.hanging.add(runner)
    world.passes(9.5)
    assert runner.signals == []
    world.passes(2.0)
    assert runner.signals == [signal.SIGKILL]


def test_announced_wait_counts_from_its_end() -> None:
    """A process that announced a blocking call gets the time of the call in addition."""
    world = Watched()
    collector = world.child(specs.container(SETTINGS, 1))
    world.allowance = 10.0
    world.turn()
    world.hanging.add(collector)
    world.passes(15.5)
    assert collector.signals == []
    world.passes(2.0)
    assert collector.signals == [signal.SIGKILL]


def test_supervisor_that_was_stopped_kills_nobody() -> None:
    """What the supervisor could not see does not count, however long it stood still."""
    world = Watched()
    children = [world.child(specs.broker(SETTINGS)), world.child(specs.metrics(SETTINGS))]
    world.passes(2.0)
    world.history.world.now += 3_600.0  # everything stood still: a suspended machine
    world.history.supervisor.tick()  # the supervisor is the first to run again
    world.passes(20.0)
    assert [child.signals for child in children] == [[], []]


def test_process_that_hangs_after_the_supervisors_pause_is_killed() -> None:
    """The supervisor's own pause delays its judgement, and does not prevent it."""
    world = Watched()
    broker = world.child(specs.broker(SETTINGS))
    world.hanging.add(broker)
    world.history.world.now += 40.0
    world.history.supervisor.tick()
    assert broker.signals == []
    world.passes(8.0)
    assert broker.signals == [signal.SIGKILL]


def test_process_without_a_heartbeat_is_not_watched() -> None:
    """A process that does not report its turns is never considered hung."""
    world = Watched()
    web = world.child(specs.web(SETTINGS))
    web.beat = None
    world.passes(60.0)
    assert web.signals == []
