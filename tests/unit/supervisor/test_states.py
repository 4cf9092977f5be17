"""Tests of the state table: every legal move, and no other."""

from __future__ import annotations

import itertools

import pytest

from supervisor.states import TRANSITIONS, IllegalMove, Move, State, moved

LEGAL = [
    (State.IDLE, Move.START, State.RUNNING),
    (State.RUNNING, Move.STOP, State.STOPPING),
    (State.RUNNING, Move.FINISH, State.FINISHED),
    (State.RUNNING, Move.CRASH, State.BACKOFF),
    (State.RUNNING, Move.GIVE_UP, State.FAILED),
    (State.RUNNING, Move.HANG, State.HUNG),
    (State.HUNG, Move.FINISH, State.FINISHED),
    (State.HUNG, Move.CRASH, State.BACKOFF),
    (State.HUNG, Move.GIVE_UP, State.FAILED),
    (State.HUNG, Move.STOP, State.KILLING),
    (State.STOPPING, Move.KILL, State.KILLING),
    (State.STOPPING, Move.GONE, State.IDLE),
    (State.KILLING, Move.GONE, State.IDLE),
    (State.BACKOFF, Move.START, State.RUNNING),
    (State.BACKOFF, Move.STOP, State.IDLE),
    (State.FAILED, Move.START, State.RUNNING),
    (State.FAILED, Move.STOP, State.IDLE),
    (State.FINISHED, Move.STOP, State.IDLE),
]


@pytest.mark.parametrize(("state", "move", "target"), LEGAL)
def test_legal_move(state: State, move: Move, target: State) -> None:
    """Each legal move leads to one state."""
    assert moved(state, move) is target


@pytest.mark.parametrize(
    ("state", "move"),
    sorted(set(itertools.product(State, Move)) - {(state, move) for state, move, _ in LEGAL}),
)
def test_illegal_move(state: State, move: Move) -> None:
    """An illegal move raises an error that names it."""
    with pytest.raises(IllegalMove, match=f"that is {state} cannot {move}"):
        moved(state, move)


def test_table_has_no_other_entry() -> None:
    """The moves tested here are the whole table."""
    assert len(TRANSITIONS) == len(LEGAL)
