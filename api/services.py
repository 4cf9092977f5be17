"""What the web tier works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store


class Services(NamedTuple):
    """Made once in each gunicorn worker, after the fork.

    ``bus_problem`` says in words why the bus cannot be reached, or returns None.
    """

    settings: Settings
    paths: Paths
    store: Store
    secret: bytes
    registry: CollectorRegistry
    bus_problem: Callable[[], str | None]
