"""The one way to end a stream with a reason: an ``error`` message, then the close frame."""

from __future__ import annotations

from api.live.ring import Parts
from api.websocket.connection import Connection
from api.websocket.frames import text_frame
from mist import messages


def refuse(connection: Connection, message: str, code: int) -> None:
    """Say on the open WebSocket why there is no stream, or none any more, and close it."""
    connection.source = Parts(text_frame(messages.error(message)))
    connection.finish(code)
