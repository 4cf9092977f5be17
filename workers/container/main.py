"""The entry point of a container log collector; one process for each application listened to."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from mist import logs, topics
from mist.bus import Publisher
from mist.errors import StoreError
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import Store, open_store
from workers.container.follow import Collector
from workers.container.outlet import Outlet
from workers.container.source import Source


class StoredApp(NamedTuple):
    """The application in the store, which is open only while it is asked: a collector is small."""

    app_id: int
    settings: Settings
    paths: Paths

    def container(self) -> str | None:
        """The name of its container, or None if there is no such application."""
        store = self._open()
        try:
            app = store.apps.get(self.app_id)
        finally:
            store.close()
        return app.container if app else None

    def deploying(self) -> bool:
        """Whether a deployment is replacing its container; False if the store does not say."""
        store = self._open()
        try:
            unfinished = store.deployments.unfinished()
        except StoreError as error:
            logs.logger().warning("the store does not say what is deployed", reason=str(error))
            return False
        finally:
            store.close()
        return any(d.app_id == self.app_id and d.status != "pending" for d in unfinished)

    def _open(self) -> Store:
        return open_store(self.settings, self.paths)


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Collect the log of one application's container until SIGTERM."""
    app = StoredApp(assignment.target, settings, paths)
    with zmq.Context() as context:
        topic = topics.container_log(assignment.target)
        publisher = Publisher(context, paths, settings, topic, assignment.term)
        try:
            out = Outlet(publisher, settings)
            out.recall(publisher.claim(resume=assignment.resume))
            Collector(app, Source(settings), out, settings).run()
        finally:
            publisher.close()
