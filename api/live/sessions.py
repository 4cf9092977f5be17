"""Ends open streams when their client's session ends or its right is withdrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

import gevent
import structlog

from api.http.access import Identity, still_valid
from api.http.peer import Peer
from api.live.refusal import refuse
from api.websocket.connection import Connection
from mist import close_codes
from mist.errors import StoreError
from mist.messages import ANOTHER_CONTAINER, APPLICATION_REMOVED
from mist.settings import StreamSettings
from mist.store import Store

log = structlog.get_logger(__name__)


class Holder(NamedTuple):
    """The client of a connection, and the application that it shows, if any."""

    identity: Identity
    peer: Peer
    app_id: int | None
    only_admins: bool = False
    """The stream shows containers that do not belong to an application."""
    container: str | None = None
    """The container that the application had when the stream began, if it matters."""

    @property
    def keys(self) -> tuple[str, str]:
        """What all streams of the user have in common, and all streams of the network."""
        return f"user:{self.identity.email}", f"network:{self.peer.network}"


class SessionWatch:
    """The open connections of this worker, their sessions and their rights."""

    def __init__(
        self, store: Store, check_seconds: float, observe: Callable[[int], object] = lambda _: None
    ) -> None:
        self._store = store
        self._check_seconds = check_seconds
        self._observe = observe
        self._holders: dict[Connection, Holder] = {}
        # By user and network.  Kept in step, because counting thousands takes long.
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Start checking the sessions."""
        gevent.spawn(self._watch)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._holders)

    def full(self, holder: Holder, limits: StreamSettings) -> str | None:
        """Return why there is no place for another stream of this client, or None.

        An admin may have any number, and so may a proxy that does not name its clients.
        """
        if self.connections >= limits.max_clients:
            return "Too many clients"
        of_user, of_network = (self._counts[key] for key in holder.keys)
        if not holder.identity.admin and of_user >= limits.max_per_user:
            return f"You have {of_user} open streams; close some of them"
        if not holder.peer.shared and of_network >= limits.max_per_address:
            return f"Your network has {of_network} open streams; close some of them"
        return None

    def add(self, connection: Connection, holder: Holder) -> None:
        """Register an open connection."""
        self._holders[connection] = holder
        self._counts.update(holder.keys)
        self._observe(self.connections)

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        holder = self._holders.pop(connection, None)
        for key in holder.keys if holder else ():
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]  # there is no limit to the number of networks
        self._observe(self.connections)

    def check(self) -> None:
        """Close the connections whose session has ended, or whose user lost the right."""
        holders = self._holders.values()
        everybody = {holder.identity for holder in holders}
        try:
            # A few queries for all connections of the worker.
            valid = still_valid(self._store, everybody)
            permitted = self._store.apps.permitted(
                {
                    (app_id, identity.user_id)
                    for identity, _, app_id, *_ in holders
                    if app_id is not None and identity.user_id is not None
                }
            )
            admins = self._store.users.admins() if any(h.only_admins for h in holders) else set()
            containers = self._containers(holders, permitted)
        except StoreError as error:
            # A failing store must not end every stream; the next check catches up.
            log.warning("sessions_not_checked", reason=str(error))
            return
        for connection, holder in self._holders.items():
            identity, _, app_id, only_admins, container = holder
            if identity not in valid:
                refuse(connection, "Session expired", close_codes.SESSION_EXPIRED)
            elif only_admins and identity.user_id not in admins:
                refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)
            elif app_id is None:
                continue
            elif (app_id, identity.user_id) not in permitted:
                if app_id in containers:
                    refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)
                else:
                    refuse(connection, APPLICATION_REMOVED, close_codes.NOT_FOUND)
            elif container and app_id not in containers:
                refuse(connection, APPLICATION_REMOVED, close_codes.NOT_FOUND)
            elif container and containers[app_id] != container:
                # Its figures are none of this client's business any more.
                refuse(connection, ANOTHER_CONTAINER, close_codes.TRY_AGAIN_LATER)

    def _containers(
        self, holders: Collection[Holder], permitted: Collection[tuple[int, int]]
    ) -> dict[int, str]:
        """Return the containers of the applications about which more has to be known."""
        wanted = {
            holder.app_id
            for holder in holders
            if holder.app_id is not None
            and (holder.container or (holder.app_id, holder.identity.user_id) not in permitted)
        }
        return self._store.apps.containers(wanted) if wanted else {}

    def _watch(self) -> None:
        while True:
            gevent.sleep(self._check_seconds)
            if self._holders:
                self.check()
