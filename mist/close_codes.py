"""The WebSocket close codes of the public contract, and why a stream closes with each.

``contract.md``, "Handshake"; RFC 6455 §7.4.1 and IANA's registry for those below 3000.
The package ``api.websocket`` has those that the protocol itself needs.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
"""The stream is complete."""
TRY_AGAIN_LATER: Final = 1013
"""What the stream needs is not available now."""
SESSION_EXPIRED: Final = 4401
PERMISSION_DENIED: Final = 4403
NOT_FOUND: Final = 4404
NOT_RUNNING: Final = 4409
"""The container is there, and does not run."""
