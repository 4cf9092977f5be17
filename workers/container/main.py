"""The entry point of a container log collector; one process for each application listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zmq

from bus import topics
from bus.publisher import Publisher
from mist import logs
from mist.errors import StoreError
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.container.aside import Remembered
from workers.container.collector import Collector
from workers.container.docker_logs import DockerLogs
from workers.container.publisher import LogPublisher

if TYPE_CHECKING:
    from mist.store import Store


#: How long the store's word holds for which container is the application's ...
_NAME_SECONDS: Final = 5.0

#: ... and for whether that is being replaced.
_DEPLOYING_SECONDS: Final = 1.0


class StoredApp:
    """The application in the store; ``known`` is its container as the supervisor just read it."""

    def __init__(self, app_id: int, known: str, settings: Settings, paths: Paths) -> None:
        self.app_id = app_id
        self.settings = settings
        self.paths = paths
        self._name = Remembered(self._container, _NAME_SECONDS)
        self._replaced = Remembered(self._deploying, _DEPLOYING_SECONDS)
        if known:
            self._name.know(known)

    def container(self) -> str | None:
        """The name of its container, or None if there is no such application; or StoreError."""
        name = self._name()
        return name if isinstance(name, str) else None

    def deploying(self) -> bool:
        """Whether a deployment is replacing its container; False if the store does not say."""
        try:
            return bool(self._replaced())
        except StoreError as error:
            logs.logger().warning("the store does not say what is deployed", reason=str(error))
            return False

    def _container(self) -> str | None:
        app = self._store().apps.get(self.app_id)
        return app.container if app else None

    def _deploying(self) -> bool:
        unfinished = self._store().deployments.unfinished()
        return any(d.app_id == self.app_id and d.status != "pending" for d in unfinished)

    def _store(self) -> Store:
        from mist.store import open_store  # noqa: PLC0415 - only in a copy, see ask_aside

        return open_store(self.settings, self.paths)


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Collect the log of one application's container until SIGTERM."""
    app = StoredApp(assignment.target, assignment.container, settings, paths)
    with zmq.Context() as context:
        topic = topics.container_log(assignment.target)
        publisher = Publisher(context, paths, settings, topic, assignment.term)
        try:
            out = LogPublisher(publisher, settings)
            snapshot = publisher.claim(resume=assignment.resume)
            if not snapshot.tells_where_to_resume:
                snapshot = publisher.claim(resume=False)
            out.recall(snapshot)
            Collector(app, DockerLogs(settings), out, settings).run()
        finally:
            publisher.close()
