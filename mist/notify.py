"""Tells the service manager how the service is: sd_notify(3).

The manager is systemd; for the web tier of ``mist up`` it is the supervisor.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from mist import logs

#: A text for the manager is cut there.
_TEXT_CHARACTERS: Final = 4_000


class Notifier:
    """Writes to the socket that NOTIFY_SOCKET names, if it names one.

    ``watchdog_seconds`` is how often ``watchdog`` is to be called, half of what
    the manager grants (sd_watchdog_enabled(3)), or None.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._status = ""
        self.watchdog_seconds = _half_of_watchdog(environ)

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def giving_up(self, reason: str) -> bool:
        """The service ends by itself; return True if a manager was told so."""
        return self._send(f"STOPPING=1\nSTATUS={_line(reason)}")

    def watchdog(self) -> None:
        """The loop still turns."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; the same one again is not sent."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={_line(text)}")

    def _send(self, message: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            logs.logger().warning("the service manager is not told", reason=str(error))
            return False
        return True


def _line(text: str) -> str:
    """Return the text as one line, since the next line would be another variable."""
    return " ".join(text.split())[:_TEXT_CHARACTERS]


def _address(name: str) -> str:
    """A leading ``@`` stands for the abstract namespace's zero byte."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _half_of_watchdog(environ: Mapping[str, str]) -> float | None:
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
