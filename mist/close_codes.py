"""The WebSocket close codes of the public contract.

``contract.md``, "Handshake"; codes below 3000 are from RFC 6455 §7.4.1 and the IANA
registry.  ``api.websocket`` defines the codes that the protocol itself needs.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
"""The stream is complete."""
TRY_AGAIN_LATER: Final = 1013
"""Something that the stream needs is temporarily unavailable."""
# The last three digits are those of the HTTP status with the same meaning.
SESSION_EXPIRED: Final = 4401
PERMISSION_DENIED: Final = 4403
NOT_FOUND: Final = 4404
NOT_RUNNING: Final = 4409
"""The container exists but is not running."""
