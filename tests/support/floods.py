"""Floods of the bus, and the memory of the process that has to withstand them."""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Final

import psutil
import zmq

from bus.publisher import Publisher
from bus.replay import START, replay_request
from bus.wire import Kind
from mist.paths import Paths

#: No process may ever need more than this.
LIMIT: Final = 200 * 1024**2
#: Readings that differ by less are the same: allocators keep some freed memory.
NOISE: Final = 16 * 1024**2

#: The subscriptions of one peer, in bytes, of which each costs this process some fifty.
_SUBSCRIBER_BYTES: Final = 1_500_000

Context = zmq.Context[zmq.Socket[bytes]]
Step = Callable[[], object]


def memory(process: BaseProcess) -> int:
    """Return the resident memory of a running process in bytes."""
    assert process.is_alive(), "the process has ended"
    assert process.pid is not None
    return int(psutil.Process(process.pid).memory_info().rss)


def highest(process: BaseProcess, step: Step, seconds: float) -> int:
    """Repeat ``step`` for some seconds; return the largest reading during that time."""
    end, most = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        step()
        most = max(most, memory(process))
    return most


def assert_flat(process: BaseProcess, step: Step, seconds: float, settle: float) -> None:
    """Assert that a flood takes no more memory the longer it lasts, and never too much.

    The flood lasts ``settle`` seconds, until all queues are full, and ``seconds`` more.
    """
    first = highest(process, step, settle)
    second = highest(process, step, seconds)
    assert max(first, second) <= LIMIT, f"{first >> 20} MiB, then {second >> 20} MiB"
    assert second <= first + NOISE, f"grew from {first >> 20} to {second >> 20} MiB"


def lines(publisher: Publisher, size: int, rate: float = 50.0) -> Step:
    """Return a step that publishes one line of this many bytes."""
    body = b"x" * size

    def step() -> None:
        publisher.service()
        publisher.publish(Kind.LOG, body)
        time.sleep(1 / rate)

    return step


def deaf(context: Context, paths: Paths, topic: bytes) -> zmq.Socket[bytes]:
    """Return a subscriber that reads nothing."""
    made = context.socket(zmq.SUB)
    made.linger = 0
    made.rcvhwm = 1
    made.subscribe(topic)
    made.connect(paths.endpoint("events"))
    return made


def subscriptions(context: Context, paths: Paths, make: Callable[[int], bytes]) -> Step:
    """Return a step that adds 500 subscriptions; ``make`` turns a number into a prefix."""
    subscriber: zmq.Socket[bytes] | None = None
    numbers = itertools.count()
    size = 0

    def step() -> None:
        nonlocal subscriber, size
        if subscriber is None or size > _SUBSCRIBER_BYTES:
            if subscriber is not None:
                subscriber.close()
            subscriber, size = context.socket(zmq.SUB), 0
            subscriber.linger = 0
            subscriber.connect(paths.endpoint("events"))
        for _ in range(500):
            prefix = make(next(numbers))
            subscriber.subscribe(prefix)
            size += len(prefix)
        time.sleep(0.001)

    return step


def unread_requests(context: Context, paths: Paths, topic: bytes, peers: int) -> Step:
    """Return a step in which some peers ask for replays that they do not read."""
    sockets = []
    for _ in range(peers):
        dealer = context.socket(zmq.DEALER)
        dealer.linger, dealer.rcvhwm, dealer.sndhwm = 0, 1, 1000
        dealer.connect(paths.endpoint("replay"))
        sockets.append(dealer)

    def step() -> None:
        for dealer in sockets:
            for _ in range(20):
                with suppress(zmq.Again):
                    dealer.send_multipart(replay_request(topic, START, 1), zmq.NOBLOCK)
        time.sleep(0.02)

    return step


@contextmanager
def connections(
    address: str | tuple[str, int], batch: int, *, strict: bool = False
) -> Iterator[Step]:
    """Yield a step that opens ``batch`` more connections, which say nothing and stay open.

    With ``strict``, a connection that is refused is an OSError.
    """
    opened: list[socket.socket] = []

    def step() -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        for _ in range(batch):
            one = socket.socket(family, socket.SOCK_STREAM)
            opened.append(one)
            one.settimeout(1.0)
            with suppress(*([] if strict else [OSError])):
                one.connect(address)
        # Those that were cut off are replaced; no more are open than the test may have.
        while len(opened) > 400:
            opened.pop(0).close()

    try:
        yield step
    finally:
        for each in opened:
            each.close()


def raw_peer(path: str, kind: bytes) -> socket.socket:
    """Return a connection that speaks ZMTP 3.0 itself (https://rfc.zeromq.org/spec/23/)."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(path)
    connection.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
    return connection


def frame(body: bytes, *, more: bool = False) -> bytes:
    """Return a frame of up to 255 bytes: the flag MORE, a length and so many bytes."""
    return bytes([more, len(body)]) + body


@contextmanager
def raw_flood(path: str, kind: bytes, data: bytes) -> Iterator[None]:
    """Send ``data`` again and again during the block, and connect again as libzmq does."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            with suppress(OSError), raw_peer(path, kind) as peer:
                while not stopped.is_set():
                    peer.sendall(data)
                    while select.select([peer], [], [], 0)[0]:
                        if not peer.recv(65_536):
                            raise ConnectionResetError
            stopped.wait(0.1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(30)


@contextmanager
def endless_message(path: str) -> Iterator[Step]:
    """Return a step that sends some MiB of frames of one message, and connects when it is cut off.

    libzmq sends no message before its last frame.
    """
    more = frame(b"x" * 255, more=True)
    connection: socket.socket | None = None

    def step() -> None:
        nonlocal connection
        try:
            if connection is None:
                connection = raw_peer(path, b"DEALER")
            connection.sendall(more * 8_000)
        except OSError:
            if connection is not None:
                connection.close()
            connection = None

    try:
        yield step
    finally:
        if connection is not None:
            connection.close()
