"""The states of a container log collector, and every transition between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The activities of a collector."""

    STARTING = "starting"
    """Publishing the status and the history for the first client."""
    REJOINING = "rejoining"
    """Taking over from a collector that crashed after its history was complete."""
    FOLLOWING = "following"
    """Publishing lines as the engine's stream delivers them."""
    RECOVERING = "recovering"
    """Reading the log, because the stream may have left lines out."""
    CHECKING = "checking"
    """Asking the engine why the stream ended; only the engine knows if the container ended."""
    AWAY = "away"
    """Waiting for a container that does not run, but may come back in a moment."""
    ENDED = "ended"
    """Waiting for the container to come back after ``end`` or ``error`` was published."""


class Event(StrEnum):
    """The outcomes of a state's work."""

    RUNNING = "running"
    """The container runs."""
    RESTARTING = "restarting"
    """The engine is about to start the container again."""
    STOPPED = "stopped"
    """The container does not run, or does not exist."""
    MISSING = "missing"
    """The application does not exist, or has no container."""
    FOUND = "found"
    """The container exists, and this collector has not seen one before."""
    OVER = "over"
    """The container does not run, and its end was published."""
    SUSPECT = "suspect"
    """The stream may have left lines out, or delivers none after the resume point."""
    BROKEN = "broken"
    """The stream ended, or is no longer the one to follow."""
    RECOVERED = "recovered"
    """Everything in the log was published."""
    TROUBLE = "trouble"
    """The engine refused, failed or could not be reached."""


class IllegalTransition(RuntimeError):
    """A bug in the collector: the state has no transition for this event."""

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
    # The log of its container cannot be read.
    (State.FOLLOWING, Event.OVER): State.ENDED,
    (State.REJOINING, Event.RUNNING): State.FOLLOWING,
    (State.REJOINING, Event.STOPPED): State.AWAY,
    (State.REJOINING, Event.OVER): State.ENDED,
    (State.REJOINING, Event.TROUBLE): State.REJOINING,
    # A suspect stream is dropped: what it missed is read from the log, then a new one opened.
    (State.FOLLOWING, Event.SUSPECT): State.RECOVERING,
    (State.FOLLOWING, Event.BROKEN): State.CHECKING,
    (State.FOLLOWING, Event.TROUBLE): State.CHECKING,
    (State.RECOVERING, Event.RECOVERED): State.FOLLOWING,
    (State.RECOVERING, Event.TROUBLE): State.CHECKING,
    (State.CHECKING, Event.RUNNING): State.FOLLOWING,
    (State.CHECKING, Event.STOPPED): State.AWAY,
    (State.CHECKING, Event.TROUBLE): State.CHECKING,
    # Checked first, because the container that came back may be a different one.
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
    """Return the state that follows; raise IllegalTransition if there is none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None
