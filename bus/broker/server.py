"""The broker's sockets and its loop.

Collectors publish to ``ingest``, subscribers read ``events`` (``fanout.py``), and
subscribers that missed messages ask ``replay`` (``replays.py``).  Each round takes a bounded
number of messages from each socket, so that none of them starves.  The broker never waits
for a subscriber: one that is too slow loses messages, notices the gap in the numbers, and
asks for a replay.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import zmq

from bus import wire
from bus.broker.buffers import Buffers
from bus.broker.control import (
    BrokerReady,
    Command,
    DropTopic,
    RejectTopic,
    Report,
    SubscriptionChanged,
)
from bus.broker.fanout import Fanout
from bus.broker.peers import Complaints
from bus.broker.replays import RETRY_MS, Replays
from bus.coalesce import Coalescer
from bus.wire import Header, Kind
from mist import heartbeat
from mist.errors import BusError, WireError
from mist.paths import Paths
from mist.process import for_this_user_alone
from mist.settings import Settings

# The most messages that one round takes from one socket.
_ROUND: Final = 256
# No topic is longer.
MAX_TOPIC_BYTES: Final = 160
# The longest subscription to a topic has 160 bytes, and ZMTP adds 10; a handshake has 40.
_SUBSCRIPTION_BYTES: Final = 176
# The messages of one collector that libzmq reads ahead.  Two keep its thread and this one
# busy; the others wait in the collector's own queue.
_INGEST_QUEUE: Final = 2
# The most reports in one message.  A writable pipe takes that many without blocking.
_REPORTS: Final = 128
_LINGER_MS: Final = 200
# The key of the first report; no prefix begins like this.
_READY: Final = b"\0"

# The loop turns this often even when there is nothing to do (``mist.heartbeat``).
_TURN_MS: Final = int(heartbeat.BEAT_SECONDS * 1000)

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class Broker:
    """Bind the sockets under ``paths.runtime``, and serve until the pipe closes."""

    def __init__(self, context: Context, settings: Settings, paths: Paths, pipe: Connection):
        self._settings = settings
        self._pipe = pipe
        # By prefix, so that a flood of subscriptions does not pile up reports.
        self._reports: dict[bytes, Report] = {_READY: BrokerReady(os.getpid())}
        # The topics with new subscribers, who are told the last number.
        self._untold: set[bytes] = set()
        self._tell_at = 0.0
        self._complaints = Complaints("malformed_message_dropped")
        self.buffers = Buffers(settings)
        self._poller = zmq.Poller()
        self._ingest = context.socket(zmq.XSUB)
        self._ingest.linger = 0
        self._ingest.maxmsgsize = wire.MAX_MESSAGE_BYTES
        self._ingest.rcvhwm = _INGEST_QUEUE
        self._fanout = Fanout(
            context.socket(zmq.XPUB),
            settings.bus,
            "events",
            connections=settings.bus.connections,
            frame_bytes=_SUBSCRIPTION_BYTES,
        )
        self._replays = Replays(context.socket(zmq.ROUTER), settings, self.buffers, self._refused)
        self._bind(self._ingest, paths, "ingest", 0o600)
        self._bind(self._fanout.socket, paths, "events", 0o660)
        self._bind(self._replays.socket, paths, "replay", 0o660)
        # Subscribe to everything; libzmq repeats it to each collector that connects.
        self._ingest.send(b"\x01")
        for peers in (self._fanout.peers, self._replays.peers):
            self._poller.register(peers.monitor, zmq.POLLIN)
        self._poller.register(pipe.fileno(), zmq.POLLIN | zmq.POLLOUT)

    def serve(self) -> None:
        """Serve until the supervisor closes the pipe or dies."""
        coalescer = Coalescer(self._settings.bus.gather_seconds)
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                self.step(_TURN_MS)
                heartbeat.beat()
                coalescer.rest()

    def step(self, timeout_ms: int | None) -> None:
        """Poll once and handle whatever is ready."""
        waiting = self._replays.waiting
        ready = dict(self._poller.poll(RETRY_MS if waiting or self._untold else timeout_ms))
        for peers in (self._fanout.peers, self._replays.peers):
            if peers.monitor in ready:
                peers.update()
        if self._fanout.socket in ready:
            for change in self._fanout.changes():
                self._report(SubscriptionChanged(change.subscribed, change.prefix))
                if change.subscribed:
                    self._untold.add(change.prefix)
        self._tell_positions()
        if self._ingest in ready:
            self._forward()
        if waiting or self._replays.socket in ready:
            self._replays.answer()
        self._exchange(ready.get(self._pipe.fileno(), 0))

    def close(self) -> None:
        """Close the sockets; libzmq sends queued messages for up to 200 ms."""
        self._ingest.close(linger=_LINGER_MS)
        self._fanout.close(_LINGER_MS)
        self._replays.close(_LINGER_MS)

    def _bind(self, socket: Socket, paths: Paths, name: str, mode: int) -> None:
        """Bind an endpoint whose socket file has this ``mode``."""
        endpoint = paths.endpoint(name)
        try:
            # Restrict access from the start; the group gets its rights only by chmod().
            with for_this_user_alone():
                socket.bind(endpoint)
            Path(endpoint.removeprefix("ipc://")).chmod(mode)
        except (zmq.ZMQError, OSError) as error:
            raise BusError(f"cannot listen on {endpoint}: {error}") from None
        self._poller.register(socket, zmq.POLLIN)

    def _report(self, change: SubscriptionChanged) -> None:
        self._reports.pop(change.prefix, None)  # to its end, as the latest
        self._reports[change.prefix] = change

    def _forward(self) -> None:
        # Local names, because this loop handles every message of the bus.
        receive, send, accept = (
            self._ingest.recv_multipart,
            self._fanout.send,
            self.buffers.accept,
        )
        for _ in range(_ROUND):
            try:
                frames = receive(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                topic, header, body = wire.parse(frames)
                if not 0 < len(topic) <= MAX_TOPIC_BYTES:
                    raise WireError(f"a topic of {len(topic)} bytes")
            except WireError as error:
                self._complaints.note(socket="ingest", reason=str(error))
                continue
            # Remember, then forward: a replay that follows must include the message.
            if accept(topic, frames[1], header, body):
                send(frames)

    def _tell_positions(self) -> None:
        """Tell the subscribers of topics with new ones the last numbers."""
        # One that has come back to a new broker may have missed what collectors resent before,
        # and would notice only at the next message, perhaps after the broker has dropped it.
        # A peer that subscribes again and again must not flood the others with these.
        if not self._untold or time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + RETRY_MS / 1000
        for topic in self._untold:
            buffer = self.buffers.get(topic)
            if buffer is not None and buffer.seq:
                header = Header(Kind.POSITION, buffer.epoch, buffer.term, buffer.seq)
                self._fanout.send([topic, wire.pack(header), b""])
        self._untold.clear()

    def _refused(self, error: WireError) -> None:
        self._complaints.note(socket="replay", reason=str(error))

    def _exchange(self, ready: int) -> None:
        """Obey the supervisor's commands, and send it reports while the pipe is writable."""
        # At POLLERR the read raises EOFError, which ends serve().
        if ready & (zmq.POLLIN | zmq.POLLERR):
            while self._pipe.poll():
                self._obey(self._pipe.recv())
        if ready & zmq.POLLOUT:
            batch = min(len(self._reports), _REPORTS)
            self._pipe.send([self._reports.pop(next(iter(self._reports))) for _ in range(batch)])
        # Wait for POLLOUT only with reports to send; a pipe is almost always writable.
        wanted = zmq.POLLIN | zmq.POLLOUT if self._reports else zmq.POLLIN
        self._poller.register(self._pipe.fileno(), wanted)

    def _obey(self, command: Command) -> None:
        match command:
            case DropTopic(topic, term):
                self.buffers.forget(topic, term)
            case RejectTopic(topic, body, code, keep):
                if keep or self.buffers.get(topic) is not None:
                    header = self.buffers.refuse(topic, body, code)
                else:
                    header = wire.pack(Header(Kind.ERROR, time.time_ns(), 0, 1, code=code))
                self._fanout.send([topic, header, body])
