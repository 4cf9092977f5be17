"""Report the state of the service to its manager with the sd_notify(3) protocol.

The manager is systemd, or the supervisor for the web tier of ``mist up``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.get_logger(__name__)


# Longer texts are truncated: systemd reads at most 4,096 bytes of a notification.
_TEXT_CHARACTERS: Final = 4_000


# The longest interval between two reports that the loop turns.
_WATCHDOG_SECONDS: Final = 1.0


class Notifier:
    """Write to the socket named by NOTIFY_SOCKET, if the variable is set.

    ``watchdog_seconds`` is the interval at which to call ``watchdog``, half of what the
    manager allows (sd_watchdog_enabled(3)), or None if the manager does not watch.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._status = ""
        self._next_watchdog = 0.0
        self.watchdog_seconds = _half_of_watchdog(environ)

    def ready(self) -> None:
        """Report that the service is ready."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the service is about to stop."""
        self._send("STOPPING=1")

    def giving_up(self, reason: str) -> bool:
        """Report that the service ends by itself; return True if a manager was notified."""
        return self._send(f"STOPPING=1\nSTATUS={_line(reason)}")

    def watchdog(self) -> None:
        """Report that the main loop is still running, if the manager is due to be told."""
        now = time.monotonic()
        if self.watchdog_seconds is not None and now >= self._next_watchdog:
            # More often than needed, because a turn of the loop may take some seconds.
            self._next_watchdog = now + min(self.watchdog_seconds, _WATCHDOG_SECONDS)
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``; an unchanged line is not sent again."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={_line(text)}")

    def _send(self, message: str) -> bool:
        if not self._address:
            return False
        try:
            # Non-blocking: a manager that does not read must not stop the service.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("manager_not_notified", reason=str(error))
            return False
        return True


def _line(text: str) -> str:
    """Join the text into one line, because a second line would be another variable."""
    return " ".join(text.split())[:_TEXT_CHARACTERS]


def _address(name: str) -> str:
    """Return the socket's address; a leading ``@`` stands for an abstract socket's NUL byte."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _half_of_watchdog(environ: Mapping[str, str]) -> float | None:
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0:  # no watchdog
        return None
    if pid and pid != str(os.getpid()):  # meant for another process, which passed it on
        return None
    return int(microseconds) / 2_000_000
