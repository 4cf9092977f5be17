"""A client on a container's network, which calls a server by its name again and again.

Run as a program with a name, it asks the engine's DNS server for the name before each call,
takes the first address, and prints one line for each call: the answer's text, or ``!`` and
the error.  With ``--lookup`` it prints the addresses instead of calling one.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Final, Self

from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until

#: The engine's DNS server, in every container on a user-defined network.
_DNS: Final = ("127.0.0.11", 53)
_SECONDS: Final = 10.0


class Caller:
    """The program above, on the network of a running container, while the block runs."""

    def __init__(
        self, engine: PrivateEngine, container: str, name: str, *, lookup: bool = False
    ) -> None:
        pid = engine.client.inspect_container(container)["State"]["Pid"]
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until __exit__
        command = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        command += [sys.executable, "-m", "tests.support.service.caller", name]
        command += ["--lookup"] * lookup
        self._process = subprocess.Popen(command, stdout=self._output)

    def __enter__(self) -> Self:
        wait_until(lambda: len(self.answers) > 10, "the first calls")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._output.close()

    @property
    def answers(self) -> list[str]:
        """The lines so far."""
        text = os.pread(self._output.fileno(), 2**24, 0).decode()
        return text.split("\n")[:-1]

    def stop(self) -> list[str]:
        """End the program and return its lines."""
        self._process.kill()
        self._process.wait()
        return self.answers


def addresses(name: str) -> list[str]:
    """Return the IPv4 addresses of a name (RFC 1035); raise OSError without one."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack(">xHH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.settimeout(_SECONDS)
        dns.connect(_DNS)
        dns.send(question)
        reply = dns.recv(4096)
    count = int.from_bytes(reply[6:8], "big")
    if reply[3] & 15 or not count:
        raise OSError(f"{name} does not resolve: code {reply[3] & 15}, {count} answers")
    found, at = [], len(question)
    for _ in range(count):
        while reply[at] and reply[at] < 0xC0:  # a label; 0xC0 is a pointer
            at += 1 + reply[at]
        at += 2 if reply[at] else 1
        kind, length = struct.unpack_from(">H6xH", reply, at)
        if kind == 1:
            found.append(socket.inet_ntoa(reply[at + 10 : at + 14]))
        at += 10 + length
    return found


def call(name: str) -> str:
    """Return the last line of the server's answer; raise OSError if there is none."""
    with socket.create_connection((addresses(name)[0], 80), _SECONDS) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    if not answer.startswith(b"HTTP/1.") or b" 200 " not in answer[:20]:
        raise OSError(f"the answer is {answer[:80]!r}")
    return answer.decode().split("\n")[-2]


if __name__ == "__main__":
    while True:
        try:
            if sys.argv[2:]:
                print(*addresses(sys.argv[1]), flush=True)
            else:
                print(call(sys.argv[1]), flush=True)
        except OSError as error:
            print("!", error, flush=True)
        time.sleep(0.002)
