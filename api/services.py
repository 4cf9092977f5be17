"""The services that the resources of the web tier use."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from api.monitoring import Monitoring
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store


class Services(NamedTuple):
    """Created once in each gunicorn worker, after the fork.

    ``bus_problem`` returns a sentence if the bus cannot be reached, otherwise None.
    """

    settings: Settings
    paths: Paths
    store: Store
    secret: bytes  # the key that signs sessions
    monitoring: Monitoring
    bus_problem: Callable[[], str | None]
