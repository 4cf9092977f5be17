"""Tests of programs in sessions of their own, with real processes."""

from __future__ import annotations

import os
import signal

import psutil

from supervisor.programs import Program
from tests.support.processes import has_ended
from tests.support.wait import wait_until


def test_a_killed_program_takes_its_children_along() -> None:
    """Killing a program kills its children, such as gunicorn's workers that hold the port."""
    program = Program(["sh", "-c", "sleep 1000 & wait"], dict(os.environ))
    leader = psutil.Process(program.pid)
    (child,) = wait_until(leader.children, "its child")
    program.send_signal(signal.SIGKILL)
    assert program.ended(30_000)
    wait_until(lambda: program.exit_code() == -signal.SIGKILL, "its end")
    wait_until(lambda: has_ended(child), "the end of its child")
    program.send_signal(signal.SIGKILL)
    program.close()
