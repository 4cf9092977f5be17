"""The decisions of a stream about its connections, without I/O.

A driver asks for the next address, connects, passes on what comes, and waits as it is told::

    while not follower.over:
        connect to follower.connect(), and then repeatedly
            follower.receive(message) or, after follower.wait() seconds, follower.settle()
        until the connection ends: follower.closed(), refused() or failed()
        sleep for follower.delay

Both drivers, the synchronous one and that of asyncio, are as short as that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final, Generic

from mist_client import wire
from mist_client.close_codes import Verdict, explain_close, explain_status
from mist_client.errors import Reason, StreamError
from mist_client.events import Reconnecting
from mist_client.retry import Backoff, Retry
from mist_client.source import E, Query, Refused, Source

log = logging.getLogger("mist_client")

# After a connection was live for so long, the next delay is the shortest one again.
_STABLE_SECONDS: Final = 1.0


class Damaged(Exception):
    """A message is not UTF-8, so that its connection has failed (RFC 6455 §8.1)."""


class Follower(Generic[E]):
    """One stream over as many connections as it takes."""

    def __init__(
        self,
        source: Source[E],
        retry: Retry,
        backoff: Backoff | None = None,
    ) -> None:
        self.over = False
        """True once the service has sent everything, or the stream was closed."""
        self.delay = 0.0
        """The seconds to wait before the next attempt."""
        self._source = source
        self._retry = retry
        self._clock = source.clock
        self._backoff = backoff or Backoff(retry)
        self._live_since: float | None = None
        self._lost_at: float | None = None
        self._trying_since = source.clock()
        self._failing = False
        self._said = ""

    @property
    def path(self) -> str:
        """The route of the stream."""
        return self._source.path

    def connect(self) -> Query:
        """Return the parameters of the next connection."""
        self._said = ""
        return self._source.query()

    def receive(self, data: bytes) -> Iterator[E]:
        """Yield the events of a message; take all of them before the next message."""
        try:
            # An error does not make the stream live; the close frame that follows ends it.
            if self._live_since is None and not wire.is_error(data):
                self._join()
            yield from self._source.receive(data)
        except Refused as refused:
            self._said = refused.message  # the close frame that follows says what to do
        except UnicodeDecodeError:
            raise Damaged from None
        if self._source.complete:
            self.over = True

    def wait(self) -> float | None:
        """Return the seconds after which to call :meth:`settle`, or None for never."""
        due = self._source.due
        return None if due is None else max(0.0, due - self._clock())

    def settle(self) -> Iterator[E]:
        """Yield events that no longer wait for others."""
        yield from self._source.settle()

    def stop(self) -> None:
        """End the stream, because the caller wants no more of it."""
        self.over = True

    # ------------------------------------------------------------------ losses

    def closed(self, code: int, said: str = "") -> Reconnecting | None:
        """Note the end of a connection; raise StreamError if another attempt would not help."""
        return self._lost(explain_close(code, self._said or said))

    def refused(
        self, status: int, message: str, retry_after: float | None = None
    ) -> Reconnecting | None:
        """Note a handshake that was answered with an HTTP status, as :meth:`closed`."""
        return self._lost(explain_status(status, message), retry_after or 0.0)

    def failed(self, message: str) -> Reconnecting | None:
        """Note that no connection could be made, as :meth:`closed`."""
        return self._lost(Verdict(Reason("network", message), final=False))

    def untrusted(self, message: str) -> Reconnecting | None:
        """Note that the service's certificate is not trusted, as :meth:`closed`."""
        return self._lost(Verdict(Reason("untrusted", message), final=True))

    # ------------------------------------------------------------------ within

    def _join(self) -> None:
        now = self._clock()
        downtime = None if self._lost_at is None else now - self._lost_at
        if downtime is not None:
            log.info("The stream %s goes on after %.1f s", self.path, downtime)
        self._live_since = now
        self._lost_at = None
        self._failing = False
        self._source.joined(downtime)

    def _lost(self, verdict: Verdict, at_least: float = 0.0) -> Reconnecting | None:
        if self.over:  # the close frame after the last message, or of our own
            return None
        reason = verdict.reason
        if verdict.final:
            raise StreamError(reason)
        now = self._clock()
        if self._live_since is not None:
            self._lost_at = self._trying_since = now
            if now - self._live_since >= _STABLE_SECONDS:
                self._backoff.reset()
        self._live_since = None
        self._source.lost()
        self._give_up_after(reason, now - self._trying_since)
        restarts = reason.code == "restarting"
        self.delay = self._backoff.after_restart() if restarts else self._backoff.next()
        self.delay = max(self.delay, min(at_least, self._retry.longest))
        log.log(
            logging.DEBUG if self._failing else logging.WARNING,
            "No connection for %s: %s; trying again in %.1f s",
            self.path,
            reason.message,
            self.delay,
        )
        self._failing = True
        return Reconnecting(reason, self.delay)

    def _give_up_after(self, reason: Reason, seconds: float) -> None:
        limit = self._retry.give_up_after
        if limit is not None and seconds >= limit:
            raise StreamError(reason)
