"""The WebSocket close codes of the public contract, and why a stream closes with each.

``contract.md``, "Handshake"; RFC 6455 §7.4.1 and IANA's registry for those below 3000.
The only other ones are in ``api.websocket.frames.CloseCode``: that package imports
nothing of ours, and has those with which it closes a connection itself.
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
"""What the stream needs is not available now."""
SESSION_EXPIRED: Final = 4401
PERMISSION_DENIED: Final = 4403
NOT_FOUND: Final = 4404
NOT_RUNNING: Final = 4409
"""The container is there, and does not run."""

SENDABLE: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""The codes that may be in a close frame: RFC 6455 §7.4.1 keeps back 1004 to 1006 and 1015,
and nothing is assigned between the rest and those of libraries and applications."""
