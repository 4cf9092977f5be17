"""Open many WebSocket connections over TCP (RFC 6455 §4.1), in groups."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from typing import Final, NamedTuple

from bench.processes import BenchError

# RFC 6455 §1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Handshakes in progress at a time, well below the backlog of every server.
_AT_ONCE: Final = 64
_HEAD_LIMIT: Final = 16_384


class Address(NamedTuple):
    """The address to connect to, and the session cookie to send (empty: none)."""

    host: str
    port: int
    path: str
    cookie: str = ""


def accept_key(key: bytes) -> bytes:
    """Return a server's answer to a key (RFC 6455 §4.2.2)."""
    # SHA-1 is what the protocol prescribes
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def request(address: Address, key: bytes) -> bytes:
    """Return the opening handshake as a browser sends it."""
    lines = [
        f"GET {address.path} HTTP/1.1",
        f"Host: {address.host}:{address.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
    ]
    if address.cookie:
        lines.append(f"Cookie: mist_token={address.cookie}")
    return "\r\n".join([*lines, "", ""]).encode()


def connect(
    address: Address, count: int, receive_buffer: int = 0, timeout: float = 60.0
) -> list[tuple[socket.socket, bytes]]:
    """Open ``count`` connections; return each with the bytes after its handshake."""
    opened: list[tuple[socket.socket, bytes]] = []
    while len(opened) < count:
        some = min(_AT_ONCE, count - len(opened))
        # Send all requests first, so that the server can work on several.
        opening = [_begin(address, receive_buffer, timeout) for _ in range(some)]
        opened += [_finish(sock, key) for sock, key in opening]
    return opened


def _begin(address: Address, receive_buffer: int, timeout: float) -> tuple[socket.socket, bytes]:
    sock = socket.socket()
    if receive_buffer:
        # Before connect(): the window scale is fixed by the handshake (tcp(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(timeout)
    sock.connect((address.host, address.port))
    key = base64.b64encode(os.urandom(16))
    sock.sendall(request(address, key))
    return sock, key


def _finish(sock: socket.socket, key: bytes) -> tuple[socket.socket, bytes]:
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(_HEAD_LIMIT)
        if not piece or len(answer) > _HEAD_LIMIT:
            raise BenchError(f"the handshake ended with {answer[:200]!r}")
        answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 ") or accept_key(key) not in head:
        raise BenchError(f"the upgrade was refused: {answer[:400]!r}")
    sock.setblocking(False)  # for the epoll loop
    return sock, rest
