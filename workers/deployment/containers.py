"""Replace the old container by a new one.

The engine itself holds the state of a replacement, so that another runner can clean up
after one that was killed (``undo``).  The new container is created first, under a name of
its own.  As long as the old container exists, the replacement can be undone; once it is
removed, the deployment has succeeded.

If nothing forbids it (``overlap``), the new container is started while the old one runs, and
takes over its name once it is healthy (``names``).  Otherwise the old one is stopped first.

Containers are looked up by their full name and checked (``ownership``); later requests use
the full id.  No container is removed together with its volumes (``volumes``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from docker import APIClient
from docker.errors import APIError, NotFound

from mist.settings import Settings
from mist.store import Store
from mist.store.records import App, Deployment
from workers.deployment import names, networks, options, overlap, ownership, volumes
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import DidNotStay
from workers.deployment.inspection import by_id, health, is_up, name_of
from workers.deployment.undo import Undo
from workers.labels import REPLACES, WAS_RUNNING, side_name
from workers.references import Inspection, find_container, network_mode

# The interval between two looks at a new container, in seconds.
_LOOK_SECONDS: Final = 0.2
# The number of a failed container's last lines that are copied to the log.
_LAST_LINES: Final = 50


class Swap:
    """The replacement of one deployment's container; ``notes`` holds lines for the log."""

    def __init__(
        self, client: APIClient, settings: Settings, store: Store, app: App, deployment: Deployment
    ) -> None:
        self.obstacle = ""
        """The reason why the old container is stopped first; empty if it is not."""
        self.checks_health = False
        """The engine checks the health of the new container."""
        self._client = client
        self._engine = settings
        self._settings = settings.deployments
        self._store = store
        self._app = app
        self._id = deployment.id
        self._queued = deployment.created_at
        self._new = ""
        self._old: Inspection | None = None
        self._undo = Undo(client, settings, store, app)
        self.notes = self._undo.notes

    @property
    def old(self) -> Inspection | None:
        """The container that is replaced, as it was found by ``prepare``."""
        return self._old

    @property
    def old_runs(self) -> bool:
        """There is an old container, and it is running."""
        return self._old is not None and is_up(self._old)

    @property
    def new_first(self) -> bool:
        """The new container is started before the old one is stopped."""
        return self.old_runs and not self.obstacle

    @property
    def old_removes_itself(self) -> bool:
        """The engine removes the old container, and its log, as soon as it stops."""
        return self._old is not None and bool(self._old["HostConfig"]["AutoRemove"])

    def check(self) -> Inspection | None:
        """Return the container to be replaced, if there is one.

        Raise NotReplaceable or NoSuchNetwork before anything has been changed.
        """
        options.check(self._engine, self._app)
        found = find_container(self._engine, self._app.container)
        ownership.check(self._store, self._app, found)
        return found

    def prepare(self, image: str) -> None:
        """Create the new container without starting it; the old one is not touched yet."""
        self._undo.unfinished()
        # Checked again, because a build takes minutes in which containers may change.
        self._old = self.check()
        made = self._client.create_container(**self._options(image), name=self._aside("new"))
        self._new = made["Id"]
        options.connect(self._client, self._engine, self._app, self._new)
        self.notes += options.notes(self._app, self._old)
        new = self._client.inspect_container(self._new)
        self.checks_health = overlap.has_health_check(new)
        if self._old is not None:
            self.obstacle = overlap.obstacle(self._old, new)
        self.notes += volumes.notes(new, options.paths(self._app))
        if self._old is not None:
            self.notes += networks.attach(self._client, self._engine, self._old, new)
            if not self.new_first:
                self.notes += self.take_aliases()

    def stop_old(self) -> None:
        """Stop the old container and free its name, unless it has given that away."""
        if self._old is None:
            return
        old, aside = self._old["Id"], self._aside("before")
        # Another program may have removed it.
        with suppress(NotFound):
            if self.old_removes_itself:
                # The engine removes it after the stop, at a moment of its own choice.  Renamed
                # first, because the name would stay taken until then.
                self._rename(old, aside)
            self._client.stop(old, timeout=round(self._settings.stop_seconds))
            if not self.old_removes_itself:
                self._rename(old, aside)

    def start_new(self) -> None:
        """Start the new container; give it the application's name if that is free."""
        if not self.new_first:
            self._client.rename(self._new, self._app.container)
        self._client.start(self._new)

    def watch(self, cancellation: CancellationToken) -> None:
        """Return once the new container has stayed up or is healthy; else raise DidNotStay."""
        check = bool(health(self._client.inspect_container(self._new)))
        seconds = self._settings.health_seconds if check else self._settings.settle_seconds
        for now in self._looks(seconds, cancellation):
            if check and health(now) == "healthy":
                return
        if check:
            raise DidNotStay(f"The new container was not healthy within {seconds:g} seconds")

    def take_aliases(self) -> list[str]:
        """Give the old container's aliases to the new one; return lines for the log."""
        old = by_id(self._client, self._old["Id"]) if self._old else None
        if old is None:
            return []
        return list(networks.take_aliases(self._client, old, self._inspect_new()))

    def take_over(self) -> bool:
        """Give the old container's name to the new one.

        Return False if the old one did not run any more: another program has stopped it.
        """
        old = by_id(self._client, self._old["Id"]) if self._old else None
        if old is None:
            self._rename(self._new, self._app.container)
            return False
        names.hand_over(
            self._client,
            self._app.container,
            giver=old["Id"],
            taker=self._new,
            aside=self._aside("before"),
        )
        return is_up(old)

    def has_to_stop_old(self, error: APIError) -> bool:
        """Return True if ``take_over`` may succeed once the old container has stopped.

        An engine that was restarted can lose the network of a container that runs on, and then
        it cannot rename the container until it has stopped.
        """
        # Not for a name that another program has taken, or a container that it has removed.
        both = self._old and by_id(self._client, self._old["Id"]) and by_id(self._client, self._new)
        return bool(both) and not names.is_taken(error)

    def drain(self, cancellation: CancellationToken) -> None:
        """Leave the old container to clients that know its address; watch the new one."""
        for _ in self._looks(self._settings.drain_seconds, cancellation):
            pass

    def _looks(self, seconds: float, cancellation: CancellationToken) -> Iterator[Inspection]:
        """Yield the new container at intervals; raise DidNotStay if it does not stay up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cancellation.pause(_LOOK_SECONDS)
            now = self._inspect_new()
            _check_alive(now)
            yield now

    def _inspect_new(self) -> Inspection:
        """Return the new container as it is now; raise DidNotStay if it was removed."""
        found = by_id(self._client, self._new)
        if found is None:
            raise DidNotStay("The new container was removed")
        return found

    def _rename(self, container: str, name: str) -> None:
        if name_of(self._client.inspect_container(container)) != name:
            self._client.rename(container, name)

    def last_lines(self) -> list[str]:
        """Return the new container's last lines; none if it was never started."""
        found = by_id(self._client, self._new)
        if found is None or found["State"]["Status"] == "created":
            return []
        text = self._client.logs(found["Id"], tail=_LAST_LINES)
        return text.decode(errors="replace").splitlines()

    def set_policy(self) -> None:
        """Give the new container its restart policy, which until now would have hidden exits."""
        self._client.update_container(
            self._new, restart_policy=_restart_policy(self._app.restart_policy)
        )

    def commit(self) -> None:
        """Remove the old container; this cannot be undone."""
        # The policy first, because after a failure here the old container is still there.
        self.set_policy()
        if self._old is not None:
            # A container that ran with --rm was removed by the engine.
            with suppress(NotFound):
                self._client.remove_container(self._old["Id"], force=True)

    def undo(self, *, stopping: bool = False) -> bool:
        """Restore the state before this deployment; may be repeated, also by another runner.

        ``stopping`` says that the old container may have been asked to stop.  Return False if
        it is gone: the new one then keeps its place.
        """
        return self._undo.deployment(self._id, self._queued, stopping=stopping)

    def has_name(self) -> bool:
        """Return True if the container with the application's name is this deployment's."""
        found = find_container(self._engine, self._app.container)
        return (
            found is not None
            and ownership.owner(self._store, found) == self._app.id
            and ownership.labels_of(found).get(ownership.QUEUED) == self._queued
        )

    def _options(self, image: str) -> dict[str, Any]:
        port = self._app.port
        mounts: Any = options.mounts(self._engine, self._app, self._old)
        wanted = options.networks(self._engine, self._app)
        command = self._app.options.command
        return {
            "image": image,
            "command": list(command) if command else None,
            "environment": self._app.env,
            "ports": [port] if port else None,
            "labels": options.labels(self._app) | networks.labels(wanted) | self._labels(),
            "host_config": self._client.create_host_config(
                port_bindings={port: (self._settings.publish_address, port)} if port else None,
                network_mode=network_mode(self._engine, wanted[0]) or None,
                mounts=mounts,
                **options.limits(self._app),
            ),
        }

    def _labels(self) -> dict[str, str]:
        return {
            ownership.INSTALLATION: self._store.installation,
            ownership.APP: str(self._app.id),
            ownership.DEPLOYMENT: str(self._id),
            ownership.QUEUED: self._queued,
            REPLACES: self._old["Id"] if self._old else "",
            WAS_RUNNING: "yes" if self.old_runs else "no",
        }

    def _aside(self, role: str) -> str:
        return side_name(self._app.container, role, self._id)


def _check_alive(found: Inspection) -> None:
    """Raise DidNotStay unless the container runs and is not known to be unhealthy."""
    state = found["State"]
    if not state["Running"]:
        raise DidNotStay(f"The new container exited with status {state['ExitCode']}")
    if health(found) == "unhealthy":
        raise DidNotStay("The new container is unhealthy")


def _restart_policy(text: str) -> Any:
    """Parse ``always``, ``unless-stopped``, ``no``, ``on-failure`` or ``on-failure:TIMES``."""
    name, _, times = text.partition(":")
    policy: dict[str, Any] = {"Name": name}
    if times:
        policy["MaximumRetryCount"] = int(times)
    return policy
