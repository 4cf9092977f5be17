"""The states of a child, and every legal move between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a child stands; the value is what ``mist status`` shows."""

    IDLE = "idle"
    """No process, and none is wanted."""
    RUNNING = "running"
    STOPPING = "stopping"
    """Asked to end by SIGTERM."""
    KILLING = "killing"
    """Did not end in time and was sent SIGKILL."""
    BACKOFF = "backoff"
    """Crashed; is started again when its time has come."""
    FAILED = "failed"
    """Cannot start, or crashed too often: is left alone for a good while."""
    FINISHED = "finished"
    """Ended by itself, its work done."""


class Move(StrEnum):
    """What happens to a child."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    GONE = "gone"
    """The process that was asked to end has ended."""
    FINISH = "finish"
    CRASH = "crash"
    GIVE_UP = "give up"


class IllegalMove(RuntimeError):
    """A bug of the supervisor: the move is not one that the state has."""

    def __init__(self, state: State, move: Move) -> None:
        super().__init__(state, move)
        self.state = state
        self.move = move

    def __str__(self) -> str:
        return f"a child that is {self.state} cannot {self.move}"


TRANSITIONS: Final[dict[tuple[State, Move], State]] = {
    (State.IDLE, Move.START): State.RUNNING,
    (State.RUNNING, Move.STOP): State.STOPPING,
    (State.RUNNING, Move.FINISH): State.FINISHED,
    (State.RUNNING, Move.CRASH): State.BACKOFF,
    (State.RUNNING, Move.GIVE_UP): State.FAILED,
    (State.STOPPING, Move.KILL): State.KILLING,
    (State.STOPPING, Move.GONE): State.IDLE,
    (State.KILLING, Move.GONE): State.IDLE,
    (State.BACKOFF, Move.START): State.RUNNING,
    (State.BACKOFF, Move.STOP): State.IDLE,
    (State.FAILED, Move.START): State.RUNNING,
    (State.FAILED, Move.STOP): State.IDLE,
}


def moved(state: State, move: Move) -> State:
    """The state that a move leads to; IllegalMove if it has none."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalMove(state, move) from None
