"""Pass file descriptors over Unix sockets (unix(7), ``SCM_RIGHTS``), with flags.

``socket.send_fds`` and ``socket.recv_fds`` ignore their flags (Python 3.11).
"""

from __future__ import annotations

import array
import socket
from typing import NamedTuple


def send_descriptors(channel: socket.socket, data: bytes, descriptors: list[int]) -> None:
    """Send data with descriptors, or raise BlockingIOError instead of waiting for room."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    channel.sendmsg([data], ancillary, socket.MSG_DONTWAIT)


class Received(NamedTuple):
    """What arrived at once."""

    data: bytes
    descriptors: list[int]
    """Programs that this process starts do not inherit them."""
    truncated: bool
    """Some descriptors could not be received, for lack of room or of free numbers."""


def receive_descriptors(channel: socket.socket, size: int, count: int) -> Received:
    """Return up to ``size`` bytes and ``count`` descriptors."""
    # CMSG_SPACE() would have room for one more, because it is aligned.
    room = socket.CMSG_LEN(count * array.array("i").itemsize)
    data, ancillary, flags, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            # What was cut off for lack of room ends in an incomplete number.
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return Received(data, list(found), bool(flags & socket.MSG_CTRUNC))
