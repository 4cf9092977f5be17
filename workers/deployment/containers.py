"""Replace the old container by a new one, and undo the replacement if necessary.

The engine itself holds the state of a replacement, so that another runner can clean up
after one that was killed.  The new container is created first, under a name of its own.
Its labels say which container it replaces and whether that one was running.  As long as the
old container exists, the replacement can be undone; once it is removed, the deployment has
succeeded.

Containers are looked up by their full name and checked (``ownership``); later requests use
the full id.  No container is removed together with its volumes (``volumes``).
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from docker import APIClient
from docker.errors import APIError, NotFound

from mist.settings import Settings
from mist.store import Store
from mist.store.records import App, Deployment
from workers.deployment import options, ownership, volumes
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import DidNotStay
from workers.labels import REPLACES, side_name
from workers.references import Inspection, find_container, network_mode

_WAS_RUNNING: Final = "mist.replaces-running"

# The interval between two looks at a new container, in seconds.
_LOOK_SECONDS: Final = 0.2
# The number of a failed container's last lines that are copied to the log.
_LAST_LINES: Final = 50


class Swap:
    """The replacement of one deployment's container; ``notes`` holds lines for the log."""

    def __init__(
        self, client: APIClient, settings: Settings, store: Store, app: App, deployment: Deployment
    ) -> None:
        self.notes: list[str] = []
        self._client = client
        self._engine = settings
        self._settings = settings.deployments
        self._store = store
        self._app = app
        self._id = deployment.id
        self._queued = deployment.created_at
        self._new = ""
        self._old: Inspection | None = None

    @property
    def old(self) -> Inspection | None:
        """The container that is replaced, as it was found by ``prepare``."""
        return self._old

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
        self._finish_earlier()
        # Checked again, because a build takes minutes in which containers may change.
        self._old = self.check()
        made = self._client.create_container(**self._options(image), name=self._side_name("new"))
        self._new = made["Id"]
        options.connect(self._client, self._engine, self._app, self._new)
        self.notes += options.notes(self._app, self._old)
        new = self._client.inspect_container(self._new)
        self.notes += volumes.notes(new, options.paths(self._app))

    def stop_old(self) -> None:
        """Stop the old container and free its name."""
        if self._old is None:
            return
        old, timeout = self._old["Id"], round(self._settings.stop_seconds)
        if self.old_removes_itself:
            # The engine removes it after the stop, at a moment of its own choice.  Renamed
            # first, because the name would stay taken until then.
            self._client.rename(old, self._side_name("before"))
            self._client.stop(old, timeout=timeout)
        else:
            self._client.stop(old, timeout=timeout)
            self._client.rename(old, self._side_name("before"))

    def start_new(self) -> None:
        """Give the application's name to the new container, and start it."""
        self._client.rename(self._new, self._app.container)
        self._client.start(self._new)

    def watch(self, cancellation: CancellationToken) -> None:
        """Return once the new container has stayed up or is healthy; else raise DidNotStay."""
        first = self._client.inspect_container(self._new)
        # "none" is the status of a container whose health check was disabled.
        health = _health(first) not in ("", "none")
        seconds = self._settings.health_seconds if health else self._settings.settle_seconds
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cancellation.pause(_LOOK_SECONDS)
            now = self._client.inspect_container(self._new)
            _check_alive(now)
            if health and _health(now) == "healthy":
                return
        if health:
            raise DidNotStay(f"The new container was not healthy within {seconds:g} seconds")

    def last_lines(self) -> list[str]:
        """Return the new container's last lines; none if it was never started."""
        found = self._inspect(self._new)
        if found is None or found["State"]["Status"] == "created":
            return []
        text = self._client.logs(found["Id"], tail=_LAST_LINES)
        return text.decode(errors="replace").splitlines()

    def commit(self) -> None:
        """Remove the old container; this cannot be undone.

        The new container gets its restart policy only now.  While it was being watched,
        the policy would have hidden that it exits.
        """
        # The policy first, because after a failure here the old container is still there.
        self._client.update_container(
            self._new, restart_policy=_restart_policy(self._app.restart_policy)
        )
        if self._old is not None:
            # A container that ran with --rm was removed by the engine.
            with suppress(NotFound):
                self._client.remove_container(self._old["Id"], force=True)

    def undo(self) -> bool:
        """Restore the state before this deployment.

        The engine's labels say what to undo, so this works after a crash, too, and may be
        repeated.  Return False if the old container is gone: the new one then keeps its
        place.
        """
        made_here = self._made_by_mist(f"{ownership.QUEUED}={self._queued}")
        return all(self._undo(found) for found in made_here)

    def _finish_earlier(self) -> None:
        """Undo an earlier deployment whose runner gave up because the engine was away."""
        for found in self._made_by_mist():
            replaced = self._inspect(ownership.labels_of(found)[REPLACES])
            set_aside = replaced is not None and _name(replaced) == self._side_name("before", found)
            if set_aside or _name(found) == self._side_name("new", found):
                self._undo(found)

    def _undo(self, new: Inspection) -> bool:
        # The labels of the new container say what has to be undone.
        replaces = ownership.labels_of(new)[REPLACES]
        old = self._inspect(replaces) if replaces else None
        if replaces and old is None:
            self._leave(new)
            return False
        if _is_up(new):
            # The old container may need its port.  No grace period, because the new container
            # is discarded.
            self._client.stop(new["Id"], timeout=0)
        if _name(new) == self._app.container:
            self._client.rename(new["Id"], self._side_name("new", new))
        if old is not None:
            self._bring_back(old, new)
        # Removed last, because its labels say what remains to be undone.
        self._client.remove_container(new["Id"], force=True)
        left = [volumes.describe(each) for each in volumes.fresh(new)]
        self.notes += [f"Left behind by the new container: {each}" for each in left]
        return True

    def _leave(self, new: Inspection) -> None:
        """Keep the new container, running or not: only it holds the old one's volumes.

        Under the application's name the next deployment finds it and keeps the volumes, too.
        """
        nameless = _name(new) == self._side_name("new", new)
        if nameless and find_container(self._engine, self._app.container) is None:
            self._client.rename(new["Id"], self._app.container)

    def _bring_back(self, old: Inspection, new: Inspection) -> None:
        # Each step checks if it is still needed, because undo() may be repeated.
        if _name(old) == self._side_name("before", new):
            self._client.rename(old["Id"], self._app.container)
        was_running = ownership.labels_of(new)[_WAS_RUNNING] == "yes"
        if was_running and not old["State"]["Running"]:
            self._client.start(old["Id"])

    def _made_by_mist(self, *labels: str) -> list[Inspection]:
        """Return the application's containers that deployments created, running or not."""
        wanted = [f"{ownership.APP}={self._app.id}", *labels]
        listed = self._client.containers(all=True, filters={"label": wanted})
        found = [self._inspect(container["Id"]) for container in listed]
        return [
            new
            for new in found
            if new
            # The filter by label also matches another installation's application of this id.
            and ownership.owner(self._store, new) == self._app.id
            # _undo() needs both labels.
            and {REPLACES, _WAS_RUNNING} <= ownership.labels_of(new).keys()
        ]

    def _options(self, image: str) -> dict[str, Any]:
        port = self._app.port
        mounts: Any = options.mounts(self._engine, self._app, self._old)
        network = options.networks(self._engine, self._app)[0]
        command = self._app.options.command
        return {
            "image": image,
            "command": list(command) if command else None,
            "environment": self._app.env,
            "ports": [port] if port else None,
            "labels": options.labels(self._app) | self._labels(),
            "host_config": self._client.create_host_config(
                port_bindings={port: (self._settings.publish_address, port)} if port else None,
                network_mode=network_mode(self._engine, network) or None,
                mounts=mounts,
                **options.limits(self._app),
            ),
        }

    def _labels(self) -> dict[str, str]:
        running = self._old is not None and _is_up(self._old)
        return {
            ownership.INSTALLATION: self._store.installation,
            ownership.APP: str(self._app.id),
            ownership.DEPLOYMENT: str(self._id),
            ownership.QUEUED: self._queued,
            REPLACES: self._old["Id"] if self._old else "",
            _WAS_RUNNING: "yes" if running else "no",
        }

    def _side_name(self, role: str, new: Inspection | None = None) -> str:
        """Return a name next to the application's: this deployment's, or that of ``new``."""
        deployment = ownership.labels_of(new)[ownership.DEPLOYMENT] if new else self._id
        return side_name(self._app.container, role, deployment)

    def _inspect(self, full_id: str) -> Inspection | None:
        """Return the container of this full id; the engine would accept prefixes and names."""
        if not full_id:
            return None
        try:
            found: Inspection = self._client.inspect_container(full_id)
        except NotFound:
            return None
        return found if found["Id"] == full_id else None


def _name(found: Inspection) -> str:
    return str(found["Name"]).removeprefix("/")


def _is_up(found: Inspection) -> bool:
    return bool(found["State"]["Running"] or found["State"]["Restarting"])


def _health(found: Inspection) -> str:
    return str((found["State"].get("Health") or {}).get("Status", ""))


def _check_alive(found: Inspection) -> None:
    """Raise DidNotStay unless the container runs and is not known to be unhealthy."""
    state = found["State"]
    if not state["Running"]:
        raise DidNotStay(f"The new container exited with status {state['ExitCode']}")
    if _health(found) == "unhealthy":
        raise DidNotStay("The new container is unhealthy")


def _restart_policy(text: str) -> Any:
    """Parse ``always``, ``unless-stopped``, ``no``, ``on-failure`` or ``on-failure:TIMES``."""
    name, _, times = text.partition(":")
    policy: dict[str, Any] = {"Name": name}
    if times:
        policy["MaximumRetryCount"] = int(times)
    return policy


def explain(error: APIError) -> str:
    """Return the engine's message for an error, or the HTTP status."""
    return str(error.explanation or error)
