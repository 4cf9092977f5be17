"""The supervisor's socket for requests of older lines, with answers that a test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from mist.read_request import Head, ReadRequest, frame

_SECONDS: Final = 20.0

HEAD: Final = frame(msgspec.json.encode(Head(200)))
END: Final = frame(b"")


class ReaderSocket:
    """Answer every request with ``answer``, as a reader would, and remember the requests."""

    def __init__(self, path: Path) -> None:
        self.answer = HEAD + END
        self.requests: list[ReadRequest] = []
        self.client_left = threading.Event()
        self.stays = False
        """Wait for the client to leave, instead of ending with the answer."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def request(self) -> ReadRequest:
        """Return the only request."""
        (request,) = self.requests
        return request

    def close(self) -> None:
        """End the thread."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self._socket.getsockname())
        self._thread.join(_SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 65_536, 1)
            if not data:
                return
            self.requests.append(msgspec.json.decode(data, type=ReadRequest))
            with socket.socket(fileno=descriptors[0]) as client, suppress(OSError):
                client.settimeout(_SECONDS)
                client.sendall(self.answer)
                if self.stays and client.recv(1) == b"":
                    self.client_left.set()


@contextmanager
def reader_socket(path: Path) -> Iterator[ReaderSocket]:
    """Listen at ``path``."""
    readers = ReaderSocket(path)
    try:
        yield readers
    finally:
        readers.close()
