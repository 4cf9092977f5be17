"""Publish numbered lines on the bus in place of a collector or a deployment's runner.

The fan-out rows measure the broker and the web tier.  Their lines come from here at the
requested rate, through the same publisher that collectors and runners use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableSequence
from multiprocessing.connection import Connection
from typing import Any, Final

import zmq

from bench import lines
from bench.processes import Peer
from bus import topics
from bus.publisher import Publisher
from bus.wire import Kind
from mist.paths import Paths
from mist.settings import Settings
from workers.deployment.log import RecordPublisher

# How far a burst may run ahead of the slowest client, as a fraction of the ring.  A
# client that falls off the ring skips lines, and there is no gapless stream to check.
_AHEAD: Final = 0.6
_LOOK_SECONDS: Final = 0.0005  # short, so that the publisher never waits for itself


class Writer:
    """A publisher on ``container/{app}/log`` or ``deployment/{deployment}/log``."""

    _send: Callable[[int, bytes], None]

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        progress: Any,
        sent: MutableSequence[int] | None,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._progress = progress
        self._sent = sent
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def begin(self, app_id: int, status: bytes) -> None:
        """Claim the topic, publish a status, and declare the history complete."""
        out = self._publisher(topics.container_log(app_id))
        out.claim(resume=False)
        out.publish(Kind.STATUS, status)
        out.publish(Kind.READY, b"")
        self._send = lambda size, body: out.publish(Kind.LOG, body, count=size)

    def deploy(self, deployment_id: int, status: bytes) -> None:
        """Begin a deployment's log, whose lines go to its file and from there to the bus."""
        path = self._paths.deployment_log(deployment_id)
        path.parent.mkdir(exist_ok=True)
        # Unbuffered: a viewer may read the file as soon as the bus announces a line.
        file = path.open("ab", buffering=0)
        publisher = self._publisher(topics.deployment_log(deployment_id))
        records = RecordPublisher(publisher, path, self._settings.bus.batch_bytes)

        def send(_size: int, body: bytes) -> None:
            file.write(body + b"\n")
            records.catch_up()

        self._send = send
        send(1, status)

    def burst(self, first: int, count: int) -> float:
        """Publish lines after the ``first`` ones at the slowest client's pace; return CPU s."""
        ahead = int(self._settings.streams.ring_lines * _AHEAD)
        # Encoded before the clock starts, because a collector's encoding is measured elsewhere.
        bodies = lines.batches(first + 1, count, self._settings.bus.batch_bytes)
        begin, done = time.process_time(), first
        for size, body in bodies:
            while done + size - self._progress.value > ahead:
                time.sleep(_LOOK_SECONDS)
            self._publish(size, body, done)
            done += size
        return time.process_time() - begin

    def drip(self, first: int, count: int, rate: float) -> float:
        """Publish ``rate`` lines a second, one at a time; return CPU seconds."""
        bodies = [lines.message(number + 1) for number in range(first, first + count)]
        begin, due = time.process_time(), time.monotonic()
        for number, body in enumerate(bodies, first):
            self._publish(1, body, number)
            # From the due time, not from now, so that lateness does not add up.
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        return time.process_time() - begin

    def _publish(self, size: int, body: bytes, done: int) -> None:
        if self._sent is not None:
            now = time.monotonic_ns()
            for number in range(done, done + size):
                self._sent[number] = now
        self._send(size, body)

    def _publisher(self, topic: bytes) -> Publisher:
        # The start time is the fencing token.
        return Publisher(self._context, self._paths, self._settings, topic, time.time_ns())


def main(
    pipe: Connection[Any, Any],
    settings: Settings,
    paths: Paths,
    progress: Any,
    sent: MutableSequence[int] | None,
) -> None:
    """Handle requests of the bench until the pipe is closed."""
    writer = Writer(settings, paths, progress, sent)
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(writer, name)(*arguments))


def start(
    settings: Settings, paths: Paths, progress: Any, sent: MutableSequence[int] | None = None
) -> Peer:
    """Start a publisher that paces itself by ``progress`` and records times in ``sent``."""
    return Peer(main, settings, paths, progress, sent)
