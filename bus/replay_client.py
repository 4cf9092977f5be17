"""The client side of replays: when to ask, and what an answer proves; without I/O.

The caller owns the socket and the clock.  It sends the frames that ``ask`` returns, and
passes received snapshots to ``take``.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import count
from typing import Final

from bus.replay import Position, Snapshot, replay_request

# A broker answers within milliseconds; after this long a request counts as lost.
ANSWER_SECONDS: Final = 2.0

# The part of a turn after which all messages that the broker forwarded before an answer
# have arrived or are lost.  It is less than a turn because the answer takes some time.
_TRANSIT: Final = 0.5

# The number of remembered requests whose answers may still arrive.
_UNANSWERED: Final = 8

# One counter for all clients, so that an answer never matches the request of an earlier
# client for the same topic on the same socket.
_numbers = count(1)


class ReplayClient:
    """Ask for one topic, one request at a time, and match answers by number.

    - Missing messages are requested at once.  A quiet topic is compared with the broker
      once per ``turn`` (in seconds).
    - A request without an answer within ``ANSWER_SECONDS`` counts as lost.  Its answer may
      arrive after a later request.  Such an answer is used, because a busy broker might
      never answer in time, but it proves nothing about lost messages.
    - An answer that was requested soon after the last one was taken proves nothing either:
      after a stall, both may have overtaken the same messages in transit.
    - A broker that does not know the topic is asked again in the next turn.
    """

    def __init__(self, topic: bytes, turn: float = 0.0) -> None:
        self.answered = False
        """The broker has answered at least once."""
        self.settled = False
        """All messages forwarded before the last answer but one have arrived or are lost."""
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
        """Return the time of the next request if nothing arrives before it."""
        if self._asked is not None:
            return self._asked + ANSWER_SECONDS
        return self._retry if missing else self._quiet_since + self._turn

    def ask(self, now: float, after: Position) -> list[bytes]:
        """Return the frames of a new request; an earlier request counts as lost."""
        number = next(_numbers)
        self._unanswered.append(number)
        self._asked = now
        return replay_request(self._topic, after, number)

    def withdraw(self) -> None:
        """Forget the last request, which the socket did not take or whose broker has gone."""
        self._asked = None

    def hear(self, now: float) -> None:
        """Record a live message, which shows that the topic is not quiet."""
        self._quiet_since = now

    def hurry(self) -> None:
        """Let the next request be due now, because the broker has more than the caller.

        A request that waits for its answer may have been lost with an earlier broker.
        """
        self.withdraw()
        self._quiet_since = -math.inf

    def take(self, snapshot: Snapshot, now: float) -> bool:
        """Record a snapshot.  Return True if it answers a request of this client."""
        if snapshot.number not in self._unanswered:
            return False
        self.settled = False
        # The time of asking is known for the newest request only.
        last = snapshot.number == self._unanswered[-1]
        self._unanswered.remove(snapshot.number)
        if last and self._asked is not None:
            self.settled = self._asked - self._taken >= self._turn * _TRANSIT
            self._asked = None
        self.answered = True
        self._taken = self._quiet_since = self._retry = now
        if not snapshot.epoch:
            # The broker does not know the topic (yet); wait a turn before the next request.
            self._retry += self._turn
        return True
