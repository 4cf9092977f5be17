"""Map errors of the WebSocket library to the events of a stream."""

from __future__ import annotations

from typing import Final, TypeVar

from websockets.exceptions import ConnectionClosed, InvalidProxy, InvalidStatus, WebSocketException

from mist_client.answers import message_of, reason_of, seconds_of
from mist_client.close_codes import ABNORMAL
from mist_client.events import Reconnecting
from mist_client.follower import Damaged, Follower

E = TypeVar("E")

#: A lost connection, what ``connect`` raises if there is none, and a damaged message.
FAILURES: Final = (WebSocketException, OSError, EOFError, Damaged)


def note_loss(follower: Follower[E], error: Exception) -> Reconnecting | None:
    """Return the event of a lost or failed connection; None if the stream is over.

    Raise StreamError if another attempt would not help, and ValueError for a proxy of the
    environment that cannot be one.
    """
    if isinstance(error, InvalidProxy):
        raise ValueError(
            f"the proxy that the environment names is not valid: {error.msg}"
        ) from None
    if isinstance(error, ConnectionClosed):
        frame = error.rcvd
        return follower.closed(frame.code, frame.reason) if frame else follower.closed(ABNORMAL)
    if isinstance(error, InvalidStatus):
        answer = error.response
        status, headers = answer.status_code, answer.headers
        message = message_of(status, bytes(answer.body or b""), headers.get("Location"))
        return follower.refused(status, message, seconds_of(headers.get("Retry-After")))
    if isinstance(error, Damaged):
        return follower.failed("The connection brought a message that is not UTF-8")
    message, untrusted = reason_of(error)
    return follower.untrusted(message) if untrusted else follower.failed(message)
