"""The listening end of sd_notify(3), on which the web tier of ``mist up`` reports its state."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.errors import BusError
from mist.process import for_this_user_alone

# Larger than any message that :mod:`mist.notify` sends; recv(2) would truncate a longer one.
_MESSAGE_BYTES: Final = 65_536


class NotifySocket:
    """A socket for NOTIFY_SOCKET.  Only this user can write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            # A supervisor that was killed leaves its socket; bind(2) would fail with EADDRINUSE.
            path.unlink(missing_ok=True)
            with for_this_user_alone():
                self._socket.bind(str(path))
        except OSError as error:
            raise BusError(f"cannot listen on {path}: {error.strerror}") from None

    def fileno(self) -> int:
        """Return a descriptor that is readable when a message has arrived."""
        return self._socket.fileno()

    def take(self) -> Iterator[dict[str, str]]:
        """Yield the messages that have arrived, as variables and their values."""
        with suppress(BlockingIOError):
            while True:
                message = self._socket.recv(_MESSAGE_BYTES).decode(errors="replace")
                lines = (line.partition("=") for line in message.splitlines())
                yield {name: value for name, _, value in lines}

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
