"""The states of a container log collector, and every transition between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What a collector is doing."""

    STARTING = "starting"
    """Publishes the status and the history for the first client."""
    REJOINING = "rejoining"
    """Takes over from a collector that crashed after its history was complete."""
    FOLLOWING = "following"
    """Publishes lines as the engine's stream gives them."""
    RECOVERING = "recovering"
    """The stream may have left lines out: reads them from the log."""
    CHECKING = "checking"
    """The stream is over: asks the engine why.  Only the engine knows if the container ended."""
    AWAY = "away"
    """The container does not run, but may be back in a moment."""
    ENDED = "ended"
    """``end`` or ``error`` was published; watches for the container to come back."""


class Event(StrEnum):
    """What a collector finds out in a state."""

    RUNNING = "running"
    """The container runs."""
    RESTARTING = "restarting"
    """The engine is about to start the container again."""
    STOPPED = "stopped"
    """The container does not run, or is gone."""
    MISSING = "missing"
    """There is no such application, or it has no container."""
    FOUND = "found"
    """The first container of a collector that has not seen one yet."""
    OVER = "over"
    """The container does not run, and its end is published."""
    SUSPECT = "suspect"
    """The stream may have left lines out, or gives none behind the resume point."""
    BROKEN = "broken"
    """The stream is over, or is no longer the one to follow."""
    RECOVERED = "recovered"
    """Everything that the log holds is published."""
    TROUBLE = "trouble"
    """The engine refused, failed or could not be reached."""


class IllegalTransition(RuntimeError):
    """A bug of the collector: the state does not have this event."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(state, event)
        self.state = state
        self.event = event

    def __str__(self) -> str:
        return f"a collector that is {self.state} has no event '{self.event}'"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.STARTING, Event.MISSING): State.STARTING,
    (State.STARTING, Event.RUNNING): State.FOLLOWING,
    (State.STARTING, Event.RESTARTING): State.AWAY,
    (State.STARTING, Event.OVER): State.ENDED,
    (State.STARTING, Event.TROUBLE): State.STARTING,
    (State.REJOINING, Event.RUNNING): State.FOLLOWING,
    (State.REJOINING, Event.STOPPED): State.AWAY,
    (State.REJOINING, Event.OVER): State.ENDED,
    (State.REJOINING, Event.TROUBLE): State.REJOINING,
    (State.FOLLOWING, Event.SUSPECT): State.RECOVERING,
    (State.FOLLOWING, Event.BROKEN): State.CHECKING,
    (State.FOLLOWING, Event.TROUBLE): State.CHECKING,
    (State.RECOVERING, Event.RECOVERED): State.FOLLOWING,
    (State.RECOVERING, Event.TROUBLE): State.CHECKING,
    (State.CHECKING, Event.RUNNING): State.FOLLOWING,
    (State.CHECKING, Event.STOPPED): State.AWAY,
    (State.CHECKING, Event.TROUBLE): State.CHECKING,
    (State.AWAY, Event.RUNNING): State.CHECKING,
    (State.AWAY, Event.OVER): State.ENDED,
    (State.AWAY, Event.TROUBLE): State.CHECKING,
    (State.ENDED, Event.MISSING): State.ENDED,
    (State.ENDED, Event.FOUND): State.STARTING,
    (State.ENDED, Event.RUNNING): State.FOLLOWING,
    (State.ENDED, Event.OVER): State.ENDED,
    (State.ENDED, Event.TROUBLE): State.ENDED,
}


def transition(state: State, event: Event) -> State:
    """Return the state that an event leads to; raise IllegalTransition if there is none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None
