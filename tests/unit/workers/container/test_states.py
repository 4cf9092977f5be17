"""Tests of the table of a collector's states."""

from __future__ import annotations

import itertools

import pytest

from workers.container.states import TRANSITIONS, Event, IllegalTransition, State, transition

LEGAL = sorted(TRANSITIONS)


@pytest.mark.parametrize(
    ("state", "event"), sorted(set(itertools.product(State, Event)) - set(LEGAL))
)
def test_every_other_event_is_a_bug(state: State, event: Event) -> None:
    """An event that the state does not allow is refused with an error that names it."""
    with pytest.raises(IllegalTransition, match=f"that is {state} has no event '{event}'"):
        transition(state, event)


def test_the_engine_may_fail_in_every_state() -> None:
    """Every state has a transition for trouble with the engine."""
    assert {state for state, event in LEGAL if event is Event.TROUBLE} == set(State)


def test_every_state_can_be_left_and_all_but_the_first_can_be_reached() -> None:
    """Every state can be left and reached; a successor starts in REJOINING."""
    moves = [(state, target) for (state, _), target in TRANSITIONS.items() if state != target]
    assert {state for state, _ in moves} == set(State)
    assert {target for _, target in moves} == set(State) - {State.REJOINING}
