"""One deployment to run."""

from __future__ import annotations

from typing import NamedTuple

from mist.paths import Paths
from mist.store import Store
from mist.store.records import App, Deployment


class Job(NamedTuple):
    """A deployment with its application, and the store and directories of the service."""

    app: App
    deployment: Deployment
    store: Store
    paths: Paths
