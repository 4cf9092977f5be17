"""Tests of when clients are told that the engine does not answer."""

from __future__ import annotations

from mist.errors import EngineError, EngineUnreachable
from mist.settings import Settings
from workers.containers.trouble import Trouble

AWAY = EngineUnreachable("unix:///secret.sock", "connection refused")
TOLD = "Docker Engine is unreachable"


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return that time."""
        return self.now


def test_clients_that_wait_are_told_at_once() -> None:
    """Without the engine's address, and once."""
    trouble = Trouble(Settings(), Clock())
    assert trouble.add(AWAY, streaming=False) == TOLD
    trouble.told = TOLD
    assert trouble.add(AWAY, streaming=False) is None
    assert trouble.add(EngineError("no"), streaming=False) == "no"


def test_restart_of_the_engine_is_not_told() -> None:
    """Clients that are being served learn of a failure that lasts."""
    clock = Clock()
    trouble = Trouble(Settings(), clock)
    assert trouble.add(AWAY, streaming=True) is None
    clock.now += 9.0
    assert trouble.add(AWAY, streaming=True) is None
    trouble.over()
    clock.now += 2.0
    assert trouble.add(AWAY, streaming=True) is None
    clock.now += 10.0
    assert trouble.add(AWAY, streaming=True) == TOLD


def test_attempts() -> None:
    """They become rarer, up to a bound, and are frequent again after a success."""
    clock = Clock()
    trouble = Trouble(Settings(), clock)
    pauses = []
    for _ in range(6):
        trouble.add(AWAY, streaming=True)
        pauses.append(round(trouble.due - clock.now, 3))
    assert pauses == [0.05, 0.1, 0.2, 0.25, 0.25, 0.25]
    trouble.over()
    trouble.add(AWAY, streaming=True)
    assert round(trouble.due - clock.now, 3) == 0.05
