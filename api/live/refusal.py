"""Ending a stream with a reason: an ``error`` message and then the close frame."""

from __future__ import annotations

from api.live.ring import Parts
from api.websocket.connection import Connection
from api.websocket.frames import text_frame
from mist import messages


def refuse(connection: Connection, message: str, code: int) -> None:
    """Send the reason for ending or refusing the stream, then close the WebSocket."""
    # Replacing the source drops whatever the client has not been sent yet.
    connection.source = Parts(text_frame(messages.error(message)))
    connection.finish(code)
