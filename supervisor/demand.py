"""The current demands, summed up from the subscription changes that the broker reports."""

from __future__ import annotations

from collections.abc import Iterable

from bus import topics
from bus.broker.control import Report, SubscriptionChanged
from bus.topics import Demand


def wanted_apps(reports: Iterable[Report]) -> set[int]:
    """Return the applications whose logs the reported subscriptions demand."""
    changes = [each for each in reports if isinstance(each, SubscriptionChanged)]
    demands = [topics.demand(change.prefix) for change in changes if change.subscribed]
    wanted = [each for each in demands if each is not None and each.kind == "container"]
    return {each.id for each in wanted if not each.name}


class Demands:
    """The subscriptions of each demand.

    A demand without subscriptions lingers for ``linger_seconds`` before it expires.
    """

    def __init__(self, linger_seconds: float) -> None:
        self._linger = linger_seconds
        self._prefixes: dict[Demand, set[bytes]] = {}
        self._idle_since: dict[Demand, float] = {}

    def apply(self, change: SubscriptionChanged, now: float) -> Demand | None:
        """Apply one change.  Return the demand that gained a subscriber, if any."""
        demand = topics.demand(change.prefix)
        if demand is None:
            return None
        # Several prefixes can express one demand, such as container/1/ and container/1/log.
        prefixes = self._prefixes.setdefault(demand, set())
        if change.subscribed:
            prefixes.add(change.prefix)
            self._idle_since.pop(demand, None)
            return demand
        prefixes.discard(change.prefix)
        if not prefixes:
            self._idle_since.setdefault(demand, now)
        return None

    def wanted(self, demand: Demand) -> bool:
        """Return True if the demand has a subscriber."""
        return bool(self._prefixes.get(demand))

    def known(self, demand: Demand) -> bool:
        """Return True if the demand has a subscriber or still lingers."""
        return demand in self._prefixes

    def expire(self, now: float) -> list[Demand]:
        """Forget and return the demands whose linger time is over."""
        over = [demand for demand, since in self._idle_since.items() if now >= since + self._linger]
        for demand in over:
            del self._prefixes[demand], self._idle_since[demand]
        return over

    def due(self) -> float | None:
        """Return the time at which the next demand expires; None if none lingers."""
        # A dict keeps insertion order, so the first entry has been idle for the longest time.
        first = next(iter(self._idle_since.values()), None)
        return None if first is None else first + self._linger

    def restart(self, now: float) -> None:
        """Forget all subscriptions after a restart of the broker."""
        for demand, prefixes in self._prefixes.items():
            # Subscribers reconnect and subscribe again.  A demand whose subscribers do not
            # come back expires after the linger time.
            prefixes.clear()
            self._idle_since.setdefault(demand, now)
