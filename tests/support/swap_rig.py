"""An application whose container is replaced on a fake engine."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from docker import APIClient

from mist.settings import DeploymentSettings, Settings
from mist.store import App, Deployment, Store
from tests.support.fake_engine import FakeEngine
from workers.deployment import ownership
from workers.deployment.containers import Swap

SETTINGS = Settings(
    deployments=DeploymentSettings(
        settle_seconds=0.01, health_seconds=0.01, drain_seconds=0.01, stop_seconds=0.01
    )
)
#: The names of the containers during the first deployment.
OLD, NEW, BEFORE = "shop", "shop-new-1", "shop-before-1"


class Rig(NamedTuple):
    """An engine, and a store with one application and its deployments."""

    engine: FakeEngine
    store: Store
    app: App

    def deploy(self, settings: Settings = SETTINGS) -> Swap:
        """Return the replacement for one more deployment."""
        row: Deployment = self.store.deployments.create(self.app.id, "ada")
        client = cast(APIClient, self.engine)
        return Swap(client, settings, self.store, self.app, row)

    def old(self, **more: Any) -> str:
        """Add the application's own container; return its id."""
        labels = {ownership.INSTALLATION: self.store.installation, ownership.APP: str(self.app.id)}
        return str(self.engine.add(OLD, labels=labels, **more)["Id"])

    def names(self) -> dict[str, bool]:
        """Return the names of the containers, and True for each that runs."""
        found = self.engine.containers_by_id.values()
        return {each["Name"][1:]: each["State"]["Running"] for each in found}
