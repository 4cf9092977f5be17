"""Ends open streams when their client's session ends or its right is withdrawn."""

from __future__ import annotations

from typing import NamedTuple

import gevent
import structlog

from api.http.access import Identity, still_valid
from api.live.refusal import refuse
from api.websocket.connection import Connection
from mist import close_codes
from mist.errors import StoreError
from mist.store import Store

log = structlog.get_logger(__name__)


class Holder(NamedTuple):
    """The identity behind a connection, and the application that it shows, if any."""

    identity: Identity
    app_id: int | None


class SessionWatch:
    """The open connections of this worker, their sessions and their rights."""

    def __init__(self, store: Store, check_seconds: float) -> None:
        self._store = store
        self._check_seconds = check_seconds
        self._holders: dict[Connection, Holder] = {}

    def start(self) -> None:
        """Start checking the sessions."""
        gevent.spawn(self._watch)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._holders)

    def add(self, connection: Connection, identity: Identity, app_id: int | None) -> None:
        """Register an open connection; ``app_id`` is None for what every user may see."""
        self._holders[connection] = Holder(identity, app_id)

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._holders.pop(connection, None)

    def check(self) -> None:
        """Close the connections whose session has ended, or whose user lost the right."""
        everybody = {holder.identity for holder in self._holders.values()}
        try:
            # A few queries for all connections of the worker.
            valid = still_valid(self._store, everybody)
            permitted = self._store.apps.permitted(
                {
                    (app_id, identity.user_id)
                    for identity, app_id in self._holders.values()
                    if app_id is not None and identity.user_id is not None
                }
            )
        except StoreError as error:
            # A failing store must not end every stream; the next check catches up.
            log.warning("sessions_not_checked", reason=str(error))
            return
        for connection, (identity, app_id) in self._holders.items():
            if identity not in valid:
                refuse(connection, "Session expired", close_codes.SESSION_EXPIRED)
            elif app_id is not None and (app_id, identity.user_id) not in permitted:
                refuse(connection, "Permission denied", close_codes.PERMISSION_DENIED)

    def _watch(self) -> None:
        while True:
            gevent.sleep(self._check_seconds)
            if self._holders:
                self.check()
