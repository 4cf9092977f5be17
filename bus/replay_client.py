"""When to ask for a replay of one topic, and what an answer is worth; without I/O.

The caller owns the socket and the clock: it sends the frames that ``ask`` returns,
and hands what the socket receives to ``take``.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import count
from typing import Final

from bus.replay import Position, Snapshot, replay_request

# A broker answers within milliseconds; after this long a request counts as lost.
ANSWER_SECONDS: Final = 2.0

# The part of a turn after which no event is in transit any more that the broker forwarded
# before an answer.  It is less than a turn because an answer takes some of its turn.
_TRANSIT: Final = 0.5

# So many requests are remembered whose answers may still come.
_UNANSWERED: Final = 8

# One sequence for all clients, so that an answer never matches the request of another
# client that asked for the same topic on the same socket.
_numbers = count(1)


class ReplayClient:
    """Asks for one topic, one request at a time, and matches answers by number.

    - Ask at once for what is missing; compare a quiet topic once in a ``turn`` (seconds).
    - A request that is not answered within ``ANSWER_SECONDS`` is lost.  Its answer may
      still come, after a later request: what it holds is welcome, because a busy broker
      might otherwise never answer in time, but it proves nothing.
    - An answer that was requested soon after another one was taken proves nothing
      either: after a stall, both may have overtaken the same events.
    - A broker that does not know the topic is asked again in the next turn.
    """

    def __init__(self, topic: bytes, turn: float = 0.0) -> None:
        self.answered = False
        """The broker has answered at least once."""
        self.settled = False
        """What the broker forwarded before the last answer but one has arrived or is lost."""
        self._topic = topic
        self._turn = turn
        self._unanswered: deque[int] = deque(maxlen=_UNANSWERED)
        self._asked: float | None = None
        self._taken = math.inf
        self._retry = self._quiet_since = 0.0

    def free(self, now: float) -> bool:
        """Return True if no request is waiting for its answer."""
        return self._asked is None or now >= self._asked + ANSWER_SECONDS

    def next_step(self, *, missing: bool) -> float:
        """Return when to ask next if nothing arrives until then."""
        if self._asked is not None:
            return self._asked + ANSWER_SECONDS
        return self._retry if missing else self._quiet_since + self._turn

    def ask(self, now: float, after: Position) -> list[bytes]:
        """Return the frames of a new request; an earlier one is given up."""
        number = next(_numbers)
        self._unanswered.append(number)
        self._asked = now
        return replay_request(self._topic, after, number)

    def withdraw(self) -> None:
        """Forget the last request: the socket did not take it, or its broker has gone."""
        self._asked = None

    def hear(self, now: float) -> None:
        """Note a live message: the topic is not quiet."""
        self._quiet_since = now

    def take(self, snapshot: Snapshot, now: float) -> bool:
        """Return True if a snapshot of the topic answers a request of this client."""
        if snapshot.number not in self._unanswered:
            return False
        self.settled = False
        last = snapshot.number == self._unanswered[-1]
        self._unanswered.remove(snapshot.number)
        if last and self._asked is not None:
            self.settled = self._asked - self._taken >= self._turn * _TRANSIT
            self._asked = None
        self.answered = True
        self._taken = self._quiet_since = self._retry = now
        if not snapshot.epoch:
            self._retry += self._turn
        return True
