"""Requests for older lines."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil
import requests


class Served(Protocol):
    """A running service."""

    url: str

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the service."""


class Reading:
    """Requests for older lines of one container as one user."""

    def __init__(self, service: Served, path: str, cookie: str) -> None:
        self.url = f"{service.url}{path}"
        self.headers = {"Cookie": cookie}

    def get(self, **parameters: Any) -> requests.Response:
        """Return the whole answer."""
        return requests.get(self.url, parameters, headers=self.headers, timeout=100)

    def text(self, **parameters: Any) -> bytes:
        """Return the log as text."""
        answer = self.get(format="text", **parameters)
        assert answer.status_code == 200, answer.text
        return answer.content

    def records(self, **parameters: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the log messages, and the data of the final record."""
        answer = self.get(**parameters)
        assert answer.status_code == 200, answer.text
        *logs, end = map(json.loads, answer.content.splitlines())
        assert end["type"] == "end"
        return logs, end["data"]


def readers(service: Served) -> list[psutil.Process]:
    """Return the processes of readers."""
    found = []
    for process in service.processes():
        with suppress(psutil.NoSuchProcess):  # it may have ended since it was listed
            if process.name().startswith("mist reader"):
                found.append(process)
    return found


def slow_request(log: Reading, query: str = "format=text") -> socket.socket:
    """Send a request, and read only the beginning of the answer."""
    url = urlsplit(log.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect((url.hostname, url.port))
    client.settimeout(30)
    lines = [f"GET {url.path}?{query} HTTP/1.1", "Host: x", f"Cookie: {log.headers['Cookie']}"]
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


def drain(client: socket.socket) -> bytes:
    """Return the rest of a chunked answer, which has to be complete."""
    received = until_end(client)
    assert received.endswith(b"0\r\n\r\n"), "the answer was broken off"
    return received


def until_end(client: socket.socket) -> bytes:
    """Return the rest of a chunked answer, or what comes before the connection's end."""
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n"):
        try:
            data = client.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            break
        received += data
    return bytes(received)


def final_record(received: bytes) -> dict[str, Any]:
    """Return the data of the final record in a chunked answer."""
    data: dict[str, Any] = json.loads(re.findall(rb'\{"type":"end".*\}\}', received)[-1])["data"]
    return data
