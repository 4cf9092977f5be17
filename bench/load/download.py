"""A client that downloads older lines of a log over HTTP."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from bench.load.handshake import Address
from bench.processes import BenchError

_READ_BYTES: Final = 262_144
_TIMEOUT: Final = 120.0


class Download(NamedTuple):
    """The number of lines, and the seconds from the connect to the last byte."""

    lines: int
    seconds: float


def download(address: Address, progress: Callable[[], object] = lambda: None) -> Download:
    """Read a whole answer; call ``progress`` after each piece."""
    begin = time.monotonic()
    client = http.client.HTTPConnection(address.host, address.port, timeout=_TIMEOUT)
    try:
        client.request("GET", address.path, headers={"Cookie": f"mist_token={address.cookie}"})
        answer = client.getresponse()
        if answer.status != 200:
            raise BenchError(f"{address.path}: {answer.status} {answer.read()!r}")
        lines = 0
        while piece := answer.read1(_READ_BYTES):
            lines += piece.count(b"\n")
            progress()
    finally:
        client.close()
    return Download(lines, time.monotonic() - begin)
