"""A server that ends each connection at once."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

_RESET: Final = struct.pack("ii", 1, 0)


@contextmanager
def hanging_up(how: Literal["reset", "closed"]) -> Iterator[str]:
    """Yield the address of a server on the loopback that resets or closes each connection.

    Whether the client notices before, while or after it sends differs between attempts.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, how), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _serve(server: socket.socket, how: str) -> None:
    while True:
        try:
            peer, _ = server.accept()
        except OSError:
            return
        if how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        peer.close()
