"""The process that runs all clients: one epoll loop, controlled through a pipe."""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

from bench.lines import Stream
from bench.load.clients import Client, Collected, Exact, Idle, Numbered, Timed
from bench.load.cursor import Mismatch
from bench.load.handshake import Address, connect
from bench.processes import BenchError, Peer

_READ_BYTES: Final = 262_144  # large, so that the load generator needs few system calls
_POLL_SECONDS: Final = 0.05
# How often the publisher is told about the slowest client, in seconds.
_PROGRESS_SECONDS: Final = 0.002


class Outcome(NamedTuple):
    """The result of a run; ``lines`` is the sum over all clients.

    ``seconds`` is the time from the first byte to the last, and ``ended`` the time of the
    last one (``time.monotonic``, which all processes share).  ``delays`` holds the seconds
    that each line took to each client, if the time of sending is known.
    """

    clients: int
    lines: int
    seconds: float
    ended: float
    cpu: float
    reads: int
    delays: array[float]

    @property
    def rate(self) -> float:
        """The lines per second of all clients together, by the clock."""
        return self.lines / self.seconds

    @property
    def share(self) -> float:
        """The fraction of one core that the load generator used."""
        return self.cpu / self.seconds if self.seconds else 0.0


class Load:
    """The clients of one process, by file descriptor."""

    def __init__(self, progress: Any, sent: Sequence[int] | None) -> None:
        self._progress = progress
        self._sent = sent
        self._clients: dict[int, Client] = {}
        self._stalled: list[socket.socket] = []
        self._epoll = select.epoll()
        self._stream = Stream(b"", 0)
        self._expected = b""
        self._delays = array("d")
        self._reads = 0
        # One buffer for all clients is enough, because each read is consumed at once.
        self._buffer = bytearray(_READ_BYTES)

    def stream(self, stream: Stream) -> None:
        """Set the stream that exact clients expect; applies to later connections."""
        self._stream = stream
        self._expected = stream.expected()  # one copy for all clients

    def exact(self, address: Address, count: int) -> None:
        """Connect clients that compare every byte."""
        self._open(address, count, self._exact)

    def numbered(self, address: Address, count: int) -> None:
        """Connect clients that check line numbers."""
        self._open(address, count, lambda sock: Numbered(sock, self._sent, self._delays))

    def collected(self, address: Address, count: int) -> None:
        """Connect clients that keep everything for :meth:`check`."""
        self._open(address, count, Collected)

    def check(self, last: int) -> None:
        """Raise Mismatch unless all collecting clients have lines 1 to ``last``."""
        for client in self._clients.values():
            if isinstance(client, Collected):
                client.check(last)

    def idle(self, address: Address, count: int) -> None:
        """Connect clients that only listen."""
        self._open(address, count, Idle)

    def stall(self, address: Address) -> None:
        """Connect one client that never reads and has a small receive buffer."""
        self._stalled += [sock for sock, _ in connect(address, 1, receive_buffer=4_096)]

    def unstall(self) -> None:
        """Disconnect the clients that never read."""
        while self._stalled:
            self._stalled.pop().close()

    def disconnect(self) -> None:
        """Disconnect all clients."""
        self.unstall()
        for client in self._clients.values():
            client.sock.close()
        self._clients.clear()
        self._epoll.close()  # forgets all descriptors at once
        self._epoll = select.epoll()

    def joined(self, timeout: float) -> None:
        """Read until every client has received the first message of its stream."""
        self._run(lambda: all(client.begun for client in self._clients.values()), timeout, True)

    def until(self, lines: int, timeout: float) -> Outcome:
        """Read until every client has ``lines`` lines; measure from the first byte."""
        return self._run(lambda: self._slowest() >= lines, timeout, True)

    def listen(self, seconds: float) -> Outcome:
        """Read for ``seconds``."""
        return self._run(lambda: False, seconds, False)

    def _exact(self, sock: socket.socket) -> Client:
        head = len(self._stream.head)
        if self._sent is None:
            return Exact(sock, self._expected, head)
        return Timed(sock, self._expected, head, self._sent, self._delays)

    def _open(self, address: Address, count: int, make: Callable[[socket.socket], Client]) -> None:
        for sock, rest in connect(address, count):
            client = make(sock)
            self._clients[sock.fileno()] = client
            self._epoll.register(sock.fileno(), select.EPOLLIN)
            client.feed(rest)  # what arrived with the handshake

    def _slowest(self) -> int:
        return min(client.lines for client in self._clients.values())

    def _total(self) -> int:
        return sum(client.lines for client in self._clients.values())

    def _run(self, finished: Callable[[], bool], timeout: float, must_end: bool) -> Outcome:
        self._reads = 0
        del self._delays[:]  # the clients refer to this array
        before = self._total()
        begin = last = 0.0
        cpu = time.process_time()
        started = checked = time.monotonic()
        while not finished():
            if self._drain():
                last = time.monotonic()
                begin = begin or last  # the clock starts with the first byte
            checked = self._pass_on(checked)
            if time.monotonic() - started > timeout:
                if must_end:
                    raise BenchError(self._complaint(timeout))
                break
        return Outcome(
            len(self._clients),
            self._total() - before,
            (last - begin) if must_end else timeout,
            last,
            time.process_time() - cpu,
            self._reads,
            array("d", self._delays),  # a copy: the next run clears it
        )

    def _drain(self) -> bool:
        """Read once from each client that has data."""
        ready = self._epoll.poll(_POLL_SECONDS)
        view, clients = memoryview(self._buffer), self._clients
        for fd, _ in ready:
            client = clients[fd]
            # Once per client and round, so that no client gets ahead.
            size = client.sock.recv_into(view)
            if not size:
                raise Mismatch("the server closed a client's connection")
            client.feed(view[:size])
        self._reads += len(ready)
        return bool(ready)

    def _pass_on(self, checked: float) -> float:
        """Tell the publisher, at intervals, how far the slowest client has come."""
        now = time.monotonic()
        if now - checked < _PROGRESS_SECONDS:
            return checked
        self._progress.value = self._slowest() if self._clients else 0
        return now

    def _complaint(self, timeout: float) -> str:
        counts = sorted(client.lines for client in self._clients.values())
        return (
            f"after {timeout:.0f} s the slowest of {len(counts)} clients has {counts[0]} lines, "
            f"the fastest {counts[-1]}"
        )


def main(pipe: Connection[Any, Any], progress: Any, sent: Sequence[int] | None) -> None:
    """Handle requests of the bench until the pipe is closed."""
    load = Load(progress, sent)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(load, name)(*arguments))
        except (BenchError, OSError) as error:
            # Pickled: the other side raises it.
            pipe.send(BenchError(f"load generator, {name}: {error}"))


def start(progress: Any, sent: Sequence[int] | None = None) -> Peer:
    """Start a load generator; it writes its slowest client's count to ``progress``."""
    return Peer(main, progress, sent)
