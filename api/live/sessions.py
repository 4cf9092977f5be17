"""Ends open streams when their client's session expires or is revoked."""

from __future__ import annotations

import gevent
import structlog

from api.http.access import Identity, still_valid
from api.live.refusal import refuse
from api.websocket.connection import Connection
from mist import close_codes
from mist.errors import StoreError
from mist.store import Store

log = structlog.get_logger(__name__)


class SessionWatch:
    """The open connections of this worker and their sessions."""

    def __init__(self, store: Store, check_seconds: float) -> None:
        self._store = store
        self._check_seconds = check_seconds
        self._holders: dict[Connection, Identity] = {}

    def start(self) -> None:
        """Start checking the sessions."""
        gevent.spawn(self._watch)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._holders)

    def add(self, connection: Connection, identity: Identity) -> None:
        """Register an open connection."""
        self._holders[connection] = identity

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._holders.pop(connection, None)

    def check(self) -> None:
        """Close the connections whose session has ended."""
        try:
            # One query for all sessions of the worker.
            ended = set(self._holders.values()) - still_valid(self._store, self._holders.values())
        except StoreError as error:
            # A failing store must not end every stream; the next check catches up.
            log.warning("sessions_not_checked", reason=str(error))
            return
        for connection, identity in self._holders.items():
            if identity in ended:
                refuse(connection, "Session expired", close_codes.SESSION_EXPIRED)

    def _watch(self) -> None:
        while True:
            gevent.sleep(self._check_seconds)
            if self._holders:
                self.check()
