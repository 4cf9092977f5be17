"""Tests of programs in sessions of their own, with real processes."""

from __future__ import annotations

import os
import signal

import psutil

from supervisor.programs import Program
from tests.support.wait import wait_until


def test_a_killed_program_takes_its_children_along() -> None:
    """Killing a program kills its children, such as gunicorn's workers that hold the port."""
    program = Program(["sh", "-c", "sleep 1000 & wait"], dict(os.environ))
    leader = psutil.Process(program.pid)
    wait_until(lambda: [each for each in leader.children() if each.name() == "sleep"], "its child")
    (child,) = leader.children()
    program.send_signal(signal.SIGKILL)
    assert program.ended(30_000)
    wait_until(lambda: program.exit_code() == -signal.SIGKILL, "its end")
    wait_until(lambda: not child.is_running() or child.status() == "zombie", "the end of its child")
    program.send_signal(signal.SIGKILL)
    program.close()
