"""The WebSocket routes of the public contract.

Where the contract refuses a request before the upgrade, the answer is an ordinary HTTP
response.  Errors of the stream itself are sent on the open WebSocket, because browsers do
not show scripts why a handshake was refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import falcon

from api.http.access import Identity, authenticate, check_origin
from api.http.peer import peer
from api.live import options
from api.live.channel import Channel, SubscribeOptions
from api.live.containers import ContainerList, ContainersResource, samples_only
from api.live.deployment import DeploymentLog
from api.live.hub import Hub, ListenerT
from api.live.refusal import refuse
from api.live.sessions import Holder, SessionWatch
from api.websocket.connection import Connection
from bus import topics
from bus.wire import Kind
from mist import close_codes
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store


class Live(NamedTuple):
    """The objects that the routes share."""

    store: Store
    settings: Settings
    paths: Paths
    hub: Hub
    sessions: SessionWatch

    def accept(
        self,
        req: falcon.Request,
        identity: Identity,
        app_id: int | None = None,
        *,
        only_admins: bool = False,
        container: str | None = None,
    ) -> Connection | None:
        """Open the connection; ``app_id`` is the application that it will show.

        ``only_admins`` and ``container`` are those of ``Holder``.  If there is no place for
        it, refuse it and return None.
        """
        holder = Holder(identity, peer(req), app_id, only_admins, container)
        # After the upgrade, so that a browser's script can read the reason.
        connection: Connection = req.env["mist.accept"]()
        reason = self.sessions.full(holder, self.settings.streams)
        if reason is not None:
            refuse(connection, reason, close_codes.TRY_AGAIN_LATER)
            return None
        self.sessions.add(connection, holder)
        connection.on_close = self.sessions.remove
        return connection

    def listen(
        self,
        connection: Connection,
        topic: bytes,
        make: Callable[[], ListenerT],
        add: Callable[[ListenerT], None],
    ) -> None:
        """Stream a topic to a connection for as long as it is open."""
        listener = self.hub.open(topic, make)

        # Replaces the handler that accept() has set, so it removes the session as well.
        def leave(gone: Connection) -> None:
            self.sessions.remove(gone)
            listener.remove(gone)
            self.hub.leave(topic)

        connection.on_close = leave
        add(listener)


def enter(req: falcon.Request) -> Identity:
    """Return the client's identity, or raise the HTTP error for a refused handshake."""
    identity = authenticate(req)
    check_origin(req)
    problem = req.env.get("mist.websocket_problem")
    if problem is not None:
        status, message = problem
        raise falcon.HTTPError(
            status, description=message, headers={"Upgrade": "websocket", "Connection": "Upgrade"}
        )
    return identity


def refuse_absent(connection: Connection, identity: Identity, what: str) -> None:
    """Refuse a target that does not exist or that the client may not see."""
    # Only an admin is told that it does not exist; others must not learn which ids are in use.
    if identity.admin:
        refuse(connection, f"{what} not found", close_codes.NOT_FOUND)
    else:
        refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)


class ContainerLogRoute:
    """``/ws/container/logs?appId=``, with ``tail``, ``since``, ``stopped`` and ``pos``.

    An admin may name any container of the host with ``container=`` instead.
    """

    def __init__(self, live: Live) -> None:
        self._live = live

    def on_get(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Stream the log of an application's container, or of any container."""
        identity = enter(req)
        target = options.target(req)
        wanted = self._options(req)
        if target.container:
            self._any(req, identity, target.container, wanted)
        else:
            self._of_app(req, identity, target.app_id, wanted)

    def _of_app(
        self, req: falcon.Request, identity: Identity, app_id: int, wanted: SubscribeOptions
    ) -> None:
        app = self._live.store.apps.get(app_id)
        stays = app is not None and app.removed_by is None
        allowed = stays and self._live.store.apps.allowed(app_id, identity)
        connection = self._live.accept(req, identity, app_id if allowed else None)
        if connection is None:
            return
        if not allowed:
            refuse_absent(connection, identity, "Application")
            return
        self._listen(connection, topics.container_log(app_id), wanted)

    def _any(
        self, req: falcon.Request, identity: Identity, container: str, wanted: SubscribeOptions
    ) -> None:
        # Looked up for everybody, so that the time of the answer tells nothing either.
        app = self._live.store.apps.by_container(container)
        connection = self._live.accept(req, identity, only_admins=identity.admin)
        if connection is None:
            return
        if not identity.admin:
            # Whether the container exists or not, and even if it is the user's application's.
            refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)
            return
        # One collector for the container, whichever way it is named.
        topic = topics.container_log(app.id) if app else topics.named_log(container)
        self._listen(connection, topic, wanted)

    def _listen(self, connection: Connection, topic: bytes, wanted: SubscribeOptions) -> None:
        self._live.listen(
            connection,
            topic,
            partial(Channel, self._live.settings),
            lambda channel: channel.add(connection, wanted),
        )

    def _options(self, req: falcon.Request) -> SubscribeOptions:
        lines = options.lines(req, self._live.settings.streams.tail_lines)
        stopped, positions = (options.switch(req, name) for name in ("stopped", "pos"))
        return SubscribeOptions(lines.tail, lines.since, stopped, positions)


class DeploymentRoute:
    """``/ws/deployment/logs?deploymentId=``."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def on_get(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Stream the log and status of a deployment, from its beginning."""
        identity = enter(req)
        number = options.identifier(req, "deploymentId")
        store, settings = self._live.store, self._live.settings
        row = store.deployments.get(number)
        allowed = row is not None and store.apps.allowed(row.app_id, identity)
        connection = self._live.accept(req, identity, row.app_id if row and allowed else None)
        if connection is None:
            return
        if not allowed:
            refuse_absent(connection, identity, "Deployment")
            return
        path = self._live.paths.deployment_log(number)
        self._live.listen(
            connection,
            topics.deployment_log(number),
            partial(DeploymentLog, settings.streams, path, partial(store.deployments.get, number)),
            lambda log: log.add(connection),
        )


class MetricsRoute:
    """``/ws/metrics``, with ``history``."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def on_get(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Stream the host's metrics, the newest sample at once."""
        identity = enter(req)
        most = self._live.settings.metrics.history_samples
        history = options.count(req, "history", most) or 1
        connection = self._live.accept(req, identity)
        if connection is None:
            return
        if identity.limits.apps is not None:  # the host is none of its applications
            refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)
            return
        self._live.listen(
            connection,
            topics.METRICS,
            partial(Channel, self._live.settings, Kind.METRICS),
            lambda channel: channel.add(connection, SubscribeOptions(history)),
        )


class ContainersRoute:
    """``/ws/containers``: the host's containers and their figures, for admins."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def on_get(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Stream the list of containers, and once a second their figures."""
        identity = enter(req)
        connection = self._live.accept(req, identity, only_admins=identity.admin)
        if connection is None:
            return
        if not identity.admin:
            refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)
            return
        self._live.listen(
            connection,
            topics.CONTAINERS,
            partial(ContainerList, self._live.settings, self._live.store.apps.of_containers),
            lambda containers: containers.add(connection, SubscribeOptions(tail=1)),
        )


class ContainerStatsRoute:
    """``/ws/container/stats?appId=``, or ``container=`` for admins, with ``history``."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def on_get(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Stream the figures of a container, one sample per second."""
        identity = enter(req)
        named = options.container(req)
        app_id = options.identifier(req, "appId") if named is None else None
        if named is not None and req.get_param("appId") is not None:
            raise falcon.HTTPBadRequest(
                description="appId and container exclude each other; give one"
            )
        settings = self._live.settings
        history = options.count(req, "history", settings.containers.history_samples) or 0
        if app_id is None:
            connection = self._live.accept(req, identity, only_admins=identity.admin)
            name = named if identity.admin else None
        else:
            app = self._live.store.apps.get(app_id)
            if app is not None and not self._live.store.apps.allowed(app_id, identity):
                app = None
            name = app.container if app else None
            connection = self._live.accept(req, identity, app.id if app else None, container=name)
        if connection is None:
            return
        if name is None:
            refuse_absent(connection, identity, "Application")
            return
        self._live.listen(
            connection,
            topics.container_stats(name),
            partial(Channel, samples_only(settings), Kind.METRICS),
            lambda channel: channel.add(connection, SubscribeOptions(history)),
        )


def add_routes(app: falcon.App[falcon.Request, falcon.Response], live: Live) -> None:
    """Add the routes of the public contract, and the resource that answers from the bus."""
    app.add_route("/ws/container/logs", ContainerLogRoute(live))
    app.add_route("/ws/deployment/logs", DeploymentRoute(live))
    app.add_route("/ws/metrics", MetricsRoute(live))
    app.add_route("/ws/containers", ContainersRoute(live))
    app.add_route("/ws/container/stats", ContainerStatsRoute(live))
    app.add_route("/api/containers", ContainersResource(live.hub, live.settings, live.store))
