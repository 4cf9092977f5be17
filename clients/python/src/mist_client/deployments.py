"""The log of a deployment, and its status."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mist_client import wire
from mist_client.events import DeploymentEvent, DeploymentStatus, Reconnected
from mist_client.logs import line_of
from mist_client.source import Query, Refused, Source


class DeploymentLog(Source[DeploymentEvent]):
    """The log from its beginning to its end; each connection sends all of it again."""

    path = "/ws/deployment/logs"

    def __init__(self, deployment_id: int) -> None:
        self._id = deployment_id
        self._status: DeploymentStatus | None = None
        self._delivered = 0
        self._known = 0
        self._downtime: float | None = None

    def query(self) -> Query:
        """Ask for the whole log."""
        return {"deploymentId": self._id}

    def joined(self, downtime: float | None) -> None:
        """Begin to count the records that are known."""
        self._known = self._delivered
        self._downtime = downtime

    def receive(self, data: bytes) -> Iterable[DeploymentEvent]:
        """Return the events of a message."""
        try:
            message = wire.DEPLOYMENT.decode(data)
        except msgspec.MsgspecError:
            return ()
        if isinstance(message, wire.Error):
            if self._status is None or self._status.status != "failed":
                raise Refused(message.data.message)
            self.complete = True  # it repeats the reason, and is the last record
            return ()
        event: DeploymentEvent
        if isinstance(message, wire.Log):
            known, event = self._is_known(), line_of(message)
        else:
            event = DeploymentStatus(message.timestamp, *msgspec.structs.astuple(message.data))
            known = self._take(event)
        return () if known else self._deliver(event)

    def _deliver(self, event: DeploymentEvent) -> Iterable[DeploymentEvent]:
        if self._downtime is None:
            return (event,)
        again = Reconnected(0, exact=True, downtime=self._downtime)
        self._downtime = None
        return (again, event)

    def _take(self, status: DeploymentStatus) -> bool:
        """Note a status, and return True if it was delivered before or is out of date."""
        self.complete = status.status == "success"
        if status.status == "pending" and self._status is not None:
            # The log begins with such a status, but others that are not part of it may come
            # before, so they cannot be counted.
            old = self._status
            known = old.status != "pending" or old.message == status.message
        else:
            known = status.status != "pending" and self._is_known()
        if not known:
            self._status = status
        return known

    def _is_known(self) -> bool:
        """Count a record of the log, and return True if it was delivered before."""
        if self._known:
            self._known -= 1
            return True
        self._delivered += 1
        return False
