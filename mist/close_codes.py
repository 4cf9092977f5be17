"""The WebSocket close codes of the public contract.

``contract.md``, "Handshake"; codes below 3000 are from RFC 6455 §7.4.1 and the IANA
registry.  ``api.websocket.frames.CloseCode`` has the codes that the protocol itself
needs, because that package imports nothing of ours.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
"""The stream is complete."""
GOING_AWAY: Final = 1001
"""The server stops."""
INTERNAL_ERROR: Final = 1011
"""The server cannot go on with the stream, or the client does not answer."""
SERVICE_RESTART: Final = 1012
"""The server reloads; clients may come back at once."""
TRY_AGAIN_LATER: Final = 1013
"""Something that the stream needs is temporarily unavailable."""
# The last three digits are those of the HTTP status with the same meaning.
SESSION_EXPIRED: Final = 4401
PERMISSION_DENIED: Final = 4403
NOT_FOUND: Final = 4404
NOT_RUNNING: Final = 4409
"""The container exists but is not running."""
NOT_READABLE: Final = 4410
"""The container's log driver does not let the engine read the log."""

SENDABLE: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""The codes that a close frame may carry.

RFC 6455 §7.4.1 reserves 1004 to 1006 and 1015.  1016 to 2999 are unassigned.
"""
