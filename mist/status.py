"""The supervisor's table of processes, as ``mist status`` and ``/api/status`` show it."""

from __future__ import annotations

from typing import Final

import msgspec

STATUS_REQUEST: Final = b"status"
"""The datagram with which the web tier asks for the table.

It goes to the socket that takes requests for older lines, with one end of a pair of stream
sockets.  The supervisor sends back one byte with a descriptor of memory that holds the
table as JSON: a table of any size is sent without waiting for the web tier.
"""


class StatusRow(msgspec.Struct, frozen=True):
    """One process."""

    process: str
    pid: int | None
    """None without a process."""
    state: str
    since: str
    """The time of the last change of state (RFC 3339)."""
    restarts: int
    why: str
    silent: float | None = None
    """The seconds since its loop last turned; None if the process does not report that."""


class ServiceStatus(msgspec.Struct, frozen=True):
    """The supervisor and its processes."""

    version: str
    pid: int
    state: str
    since: str
    processes: list[StatusRow]
