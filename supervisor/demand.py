"""Who is listened to, and since when nobody does: the edges of the broker, summed up."""

from __future__ import annotations

from bus import topics
from bus.broker.control import SubscriptionChanged
from bus.topics import Demand


class Demands:
    """The subscriptions of each demand; without any it lingers ``linger_seconds``."""

    def __init__(self, linger_seconds: float) -> None:
        self._linger = linger_seconds
        self._prefixes: dict[Demand, set[bytes]] = {}
        self._idle_since: dict[Demand, float] = {}

    def apply(self, edge: SubscriptionChanged, now: float) -> Demand | None:
        """Take one edge; returns the demand that got a subscriber, if one did."""
        demand = topics.demand(edge.prefix)
        if demand is None:
            return None
        prefixes = self._prefixes.setdefault(demand, set())
        if edge.subscribed:
            prefixes.add(edge.prefix)
            self._idle_since.pop(demand, None)
            return demand
        prefixes.discard(edge.prefix)
        if not prefixes:
            self._idle_since.setdefault(demand, now)
        return None

    def wanted(self, demand: Demand) -> bool:
        """Whether somebody listens."""
        return bool(self._prefixes.get(demand))

    def known(self, demand: Demand) -> bool:
        """Whether somebody listens, or did so a moment ago."""
        return demand in self._prefixes

    def expire(self, now: float) -> list[Demand]:
        """Forget the demands that lingered long enough, and return them."""
        over = [demand for demand, since in self._idle_since.items() if now >= since + self._linger]
        for demand in over:
            del self._prefixes[demand], self._idle_since[demand]
        return over

    def due(self) -> float | None:
        """When the next one expires."""
        first = next(iter(self._idle_since.values()), None)  # in the order in which they went idle
        return None if first is None else first + self._linger

    def restart(self, now: float) -> None:
        """The broker starts anew, and subscribers come back to it or do not."""
        for demand, prefixes in self._prefixes.items():
            prefixes.clear()
            self._idle_since.setdefault(demand, now)
