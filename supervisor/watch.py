"""The watch over the children's heartbeats.

A loop that does not turn for its specification's ``hang_seconds`` hangs.  The supervisor
may have stood still itself: it was stopped, or the machine was too busy.  What it could
not see does not count, so it starts counting again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mist.heartbeat import BEAT_SECONDS
from supervisor.child import Child, Clock

# A turn of the supervisor's own loop that is later than this was held up.  Waiting for the
# answer of a fork server that hangs (``supervisor/workers.py``) takes less.
_LATE_SECONDS: Final = 2.0

# What is due so soon is done in this turn, so that a service at rest wakes up once a second
# and not once for each timer.
EARLY_SECONDS: Final = 0.5

# A loop that has missed a beat is mentioned in `mist status` before it is given up.
MISSED_SECONDS: Final = 2.5


class Watch:
    """Finds the children that hang; call ``look`` at each turn of the loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.since = self.due = clock()
        """``since``: silence before this time does not count."""

    def look(self, children: Iterable[Child]) -> list[tuple[Child, float]]:
        """Return the children that hang, and for how long they have been silent."""
        now = self._clock()
        if now < self.due - EARLY_SECONDS:
            return []
        if now > self.due + _LATE_SECONDS:
            self.since = now
        self.due = now + BEAT_SECONDS
        silences = [(child, self.silence(child)) for child in children]
        return [
            (child, silence) for child, silence in silences if silence > child.spec.hang_seconds
        ]

    def silence(self, child: Child) -> float:
        """Return for how many seconds the loop of a running child has not turned."""
        return child.silence(self.since)
