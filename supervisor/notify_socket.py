"""The end of sd_notify(3) that listens: how the web tier of ``mist up`` says how it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.errors import BusError
from supervisor.place import for_this_user_alone

#: Longer than any message that :mod:`mist.notify` sends.
_MESSAGE_BYTES: Final = 65_536


class NotifySocket:
    """A socket that NOTIFY_SOCKET may name; only this user can write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            path.unlink(missing_ok=True)
            with for_this_user_alone():
                self._socket.bind(str(path))
        except OSError as error:
            raise BusError(f"cannot listen on {path}: {error.strerror}") from None

    def fileno(self) -> int:
        """Readable when the service has said something."""
        return self._socket.fileno()

    def take(self) -> Iterator[dict[str, str]]:
        """The messages that have arrived, as variables and their values."""
        with suppress(BlockingIOError):
            while True:
                message = self._socket.recv(_MESSAGE_BYTES).decode(errors="replace")
                lines = (line.partition("=") for line in message.splitlines())
                yield {name: value for name, _, value in lines}

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
