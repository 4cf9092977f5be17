"""The states of a child, and every legal move between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a child; ``mist status`` shows the value."""

    IDLE = "idle"
    """It has no process and needs none."""
    RUNNING = "running"
    STOPPING = "stopping"
    """It was sent SIGTERM."""
    KILLING = "killing"
    """It did not end in time and was sent SIGKILL."""
    BACKOFF = "backoff"
    """It crashed and is restarted after a pause."""
    HUNG = "hung"
    """Its loop does not turn; it was sent SIGKILL and is restarted once it has ended."""
    FAILED = "failed"
    """It cannot start, or crashed too often; the next attempt is a crash window away."""
    FINISHED = "finished"
    """It completed its work and exited."""


class Move(StrEnum):
    """An event in the life of a child."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    GONE = "gone"
    """A process that was asked to end has ended."""
    FINISH = "finish"
    CRASH = "crash"
    HANG = "hang"
    GIVE_UP = "give up"


class IllegalMove(RuntimeError):
    """A bug in the supervisor: the state does not allow the move."""

    def __init__(self, state: State, move: Move) -> None:
        super().__init__(state, move)
        self.state = state
        self.move = move

    def __str__(self) -> str:
        return f"a child that is {self.state} cannot {self.move}"


# Stopping a child without a process takes effect at once, so those rows lead to IDLE.
# Whatever way a process ends after STOP or KILL, the move is GONE.
TRANSITIONS: Final[dict[tuple[State, Move], State]] = {
    (State.IDLE, Move.START): State.RUNNING,
    (State.RUNNING, Move.STOP): State.STOPPING,
    (State.RUNNING, Move.FINISH): State.FINISHED,
    (State.RUNNING, Move.CRASH): State.BACKOFF,
    (State.RUNNING, Move.GIVE_UP): State.FAILED,
    (State.RUNNING, Move.HANG): State.HUNG,
    (State.HUNG, Move.FINISH): State.FINISHED,
    (State.HUNG, Move.CRASH): State.BACKOFF,
    (State.HUNG, Move.GIVE_UP): State.FAILED,
    (State.HUNG, Move.STOP): State.KILLING,
    (State.STOPPING, Move.KILL): State.KILLING,
    (State.STOPPING, Move.GONE): State.IDLE,
    (State.KILLING, Move.GONE): State.IDLE,
    (State.BACKOFF, Move.START): State.RUNNING,
    (State.BACKOFF, Move.STOP): State.IDLE,
    (State.FAILED, Move.START): State.RUNNING,
    (State.FAILED, Move.STOP): State.IDLE,
    # A one-shot that ends by itself during a shutdown.
    (State.FINISHED, Move.STOP): State.IDLE,
}


def moved(state: State, move: Move) -> State:
    """Return the state that a move leads to, or raise IllegalMove."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalMove(state, move) from None
