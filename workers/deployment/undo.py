"""Undo the replacement of a container, in whatever step it has ended.

The labels of the new container say which container it replaces and whether that one was
running.  So another runner can undo what one that was killed has done, and each step checks
if it is still needed, because undoing may be repeated.
"""

from __future__ import annotations

import time
from typing import Final

from docker import APIClient
from docker.errors import APIError

from mist.settings import Settings
from mist.store import Store
from mist.store.records import App
from workers.deployment import names, overlap, ownership, volumes
from workers.deployment.inspection import by_id, is_up, moment, name_of
from workers.labels import REPLACES, WAS_RUNNING, side_name
from workers.references import Inspection, find_container

_LOOK_SECONDS: Final = 0.2
# How much longer than its grace period the stop of a container may take, in seconds.
_STOP_MARGIN: Final = 2.0


class Undo:
    """The way back to an application's previous container; ``notes`` holds lines for the log."""

    def __init__(self, client: APIClient, settings: Settings, store: Store, app: App) -> None:
        self.notes: list[str] = []
        self._client = client
        self._engine = settings
        self._store = store
        self._app = app
        self._stopping = False

    def deployment(self, number: int, queued: str, *, stopping: bool = False) -> bool:
        """Restore the state before the deployment of this number, requested at this time.

        ``stopping`` says that the old container may have been asked to stop.  Return False if
        it is gone: the new one then keeps its place.
        """
        self._stopping = stopping
        made = self._made_by_mist(f"{ownership.QUEUED}={queued}")
        if not made:
            self._return_alone(side_name(self._app.container, "before", number))
        return all(self._undo(found) for found in made)

    def unfinished(self) -> None:
        """Undo an earlier deployment whose runner gave up because the engine was away."""
        for found in self._made_by_mist():
            replaced = by_id(self._client, ownership.labels_of(found)[REPLACES])
            if self._is_halfway(found, "new", found) or (
                replaced is not None and self._is_halfway(replaced, "before", found)
            ):
                self._undo(found)

    def _is_halfway(self, found: Inspection, role: str, new: Inspection) -> bool:
        name = name_of(found)
        if name == self._aside(role, new):
            return True
        # The name of a container that replaces nothing never changes hands; its spelling
        # differs after the user has changed that of the application's container.
        respelled = names.is_respelled(name, self._app.container)
        return respelled and bool(ownership.labels_of(new)[REPLACES])

    def _undo(self, new: Inspection) -> bool:
        # The labels of the new container say what has to be undone.
        replaces = ownership.labels_of(new)[REPLACES]
        old = by_id(self._client, replaces)
        if replaces and old is None:
            self._leave(new)
            return False
        if old is None:
            self._set_aside(new)
        elif _was_running(new) and not overlap.obstacle(old, new):
            self._return_both_running(old, new)
        else:
            self._return_in_turn(old, new)
        # Removed last, because its labels say what remains to be undone.
        self._client.remove_container(new["Id"], force=True)
        left = [volumes.describe(each) for each in volumes.fresh(new)]
        self.notes += [f"Left behind by the new container: {each}" for each in left]
        return True

    def _leave(self, new: Inspection) -> None:
        """Keep the new container, running or not: only it holds the old one's volumes.

        Under the application's name the next deployment finds it and keeps the volumes, too.
        """
        halfway = self._is_halfway(new, "new", new)
        if halfway and find_container(self._engine, self._app.container) is None:
            self._client.rename(new["Id"], self._app.container)

    def _return_in_turn(self, old: Inspection, new: Inspection) -> None:
        """Bring the old container back once the new one is stopped, which may have its port."""
        try:
            self._set_aside(new)
            if self._is_halfway(old, "before", new):
                self._take_name_back(old)
        finally:
            # It serves again even if another program has taken its name.
            if _was_running(new):
                self._start(old["Id"])

    def _return_alone(self, aside: str) -> None:
        """Bring back an old container whose successor another program has removed.

        No label says what has to be undone, but the old container may be set aside.
        """
        old = find_container(self._engine, aside)
        if old is None or not ownership.may_replace(self._store, self._app, old):
            return
        try:
            self._take_name_back(old)
        finally:
            started = self._start(old["Id"])
        if not started:
            self.notes.append("The previous container has its name again")

    def _return_both_running(self, old: Inspection, new: Inspection) -> None:
        """Let the old container serve again before the new one stops."""
        named = name_of(old) == self._app.container
        untouched = not self._start(old["Id"]) and named
        aside = self._aside("new", new)
        served = name_of(new) != aside
        try:
            names.hand_over(
                self._client, self._app.container, giver=new["Id"], taker=old["Id"], aside=aside
            )
        except APIError:
            # An engine that was restarted can lose the network of a container that runs on,
            # and then it cannot rename the container until it has stopped.
            self._return_in_turn(*map(self._inspect, (old, new)))
            return
        self._stop(new, self._engine.deployments.stop_seconds if served else 0)
        how = "went on running" if untouched else "has taken over again"
        self.notes.append(f"The previous container {how}")

    def _set_aside(self, new: Inspection) -> None:
        # No grace period, because the new container is discarded.
        self._stop(new, 0)
        name = name_of(new)
        if name == self._app.container or names.is_respelled(name, self._app.container):
            self._client.rename(new["Id"], self._aside("new", new))

    def _take_name_back(self, old: Inspection) -> None:
        """Give the old container its name; it may have to be started again after that."""
        try:
            self._client.rename(old["Id"], self._app.container)
        except APIError as error:
            if names.is_taken(error) or not is_up(old):
                raise
            self._stop(old, self._engine.deployments.stop_seconds)
            self._client.rename(old["Id"], self._app.container)

    def _stop(self, found: Inspection, seconds: float) -> None:
        if is_up(found):
            self._client.stop(found["Id"], timeout=round(seconds))

    def _start(self, full_id: str) -> bool:
        """Start the old container if it does not run, and tell how long it was away.

        Return False if it runs.
        """
        found = self._client.inspect_container(full_id)
        if self._stopping:
            found = self._await_stop(found)
        if found["State"]["Running"]:
            return False
        self._client.start(full_id)
        again = self._client.inspect_container(full_id)
        # The engine's own times, because an earlier runner may have stopped it.
        seconds = moment(again, "StartedAt") - moment(found, "FinishedAt")
        self.notes.append(f"The application was away for {seconds:.1f} s")
        return True

    def _inspect(self, found: Inspection) -> Inspection:
        """Return the container as it is now."""
        again: Inspection = self._client.inspect_container(found["Id"])
        return again

    def _await_stop(self, old: Inspection) -> Inspection:
        """Return the old container once it has stopped, or cannot be about to stop any more.

        The engine goes on stopping it when the runner that has asked for that is gone.
        """
        end = time.monotonic() + self._engine.deployments.stop_seconds + _STOP_MARGIN
        while old["State"]["Running"] and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            old = self._client.inspect_container(old["Id"])
        return old

    def _made_by_mist(self, *labels: str) -> list[Inspection]:
        """Return the application's containers that deployments created, running or not."""
        wanted = [f"{ownership.APP}={self._app.id}", *labels]
        listed = self._client.containers(all=True, filters={"label": wanted})
        found = [by_id(self._client, container["Id"]) for container in listed]
        return [
            new
            for new in found
            if new
            # The filter by label also matches another installation's application of this id.
            and ownership.owner(self._store, new) == self._app.id
            # _undo() needs both labels.
            and {REPLACES, WAS_RUNNING} <= ownership.labels_of(new).keys()
        ]

    def _aside(self, role: str, new: Inspection) -> str:
        """Return the name next to the application's that the deployment of ``new`` uses."""
        return side_name(self._app.container, role, ownership.labels_of(new)[ownership.DEPLOYMENT])


def _was_running(new: Inspection) -> bool:
    return ownership.labels_of(new)[WAS_RUNNING] == "yes"
