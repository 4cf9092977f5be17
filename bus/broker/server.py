"""The broker's sockets and its loop.

Collectors publish to ``ingest``, subscribers read ``events``, and subscribers that missed
messages ask ``replay``.  Each round takes a bounded number of messages from each socket,
so that none of them starves.  The broker never waits for a subscriber: one that is too
slow loses messages, notices the gap in the numbers, and asks for a replay.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
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
from bus.coalesce import Coalescer
from bus.replay import ReplayRequest, parse_replay_request, replay_reply
from mist import heartbeat
from mist.errors import BusError, WireError
from mist.paths import Paths
from mist.process import for_this_user_alone
from mist.settings import Settings

if TYPE_CHECKING:
    from bus.broker.tap import Tap

log = structlog.get_logger(__name__)

# The most messages that one round takes from one socket.
_ROUND: Final = 256
# The most replays in one round.  Each may be as large as a whole buffer.
_REPLAYS: Final = 8
# No topic is longer.
MAX_TOPIC_BYTES: Final = 128
# Subscriptions and replay requests are short; libzmq disconnects a peer that sends more.
# A CURVE handshake needs about 400 bytes.
_REQUEST_BYTES: Final = 1024
# The most reports in one message.  A writable pipe takes that many without blocking.
_REPORTS: Final = 128
# The interval between two log entries about malformed messages.
_COMPLAIN_SECONDS: Final = 10.0

# The loop turns this often even when there is nothing to do (``mist.heartbeat``).
_TURN_MS: Final = int(heartbeat.BEAT_SECONDS * 1000)

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class Broker:
    """Bind the sockets under ``paths.runtime``, and serve until the pipe closes."""

    def __init__(self, context: Context, settings: Settings, paths: Paths, pipe: Connection):
        self._settings = settings
        self._pipe = pipe
        self._reports: deque[Report] = deque([BrokerReady(os.getpid())])
        self._complaints = Complaints()
        self.buffers = Buffers(settings)
        self._poller = zmq.Poller()
        self._ingest = self._bound(context.socket(zmq.XSUB), paths, "ingest", 0o600)
        self._events = self._bound(context.socket(zmq.XPUB), paths, "events", 0o660)
        self._replay = self._bound(context.socket(zmq.ROUTER), paths, "replay", 0o660)
        # Subscribe to everything; libzmq repeats it to each collector that connects.
        self._ingest.send(b"\x01")
        self._poller.register(pipe.fileno(), zmq.POLLIN | zmq.POLLOUT)
        self._tap = self._tapped(context, settings, paths)

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
        ready = dict(self._poller.poll(timeout_ms))
        if self._events in ready:
            self._take_subscriptions()
        if self._ingest in ready:
            self._forward()
        if self._replay in ready:
            self._answer()
        self._exchange(ready.get(self._pipe.fileno(), 0))

    def close(self) -> None:
        """Close the sockets; libzmq sends queued messages for up to 200 ms."""
        if self._tap is not None:
            self._tap.close()
        for socket in (self._ingest, self._events, self._replay):
            socket.close(linger=200)

    def _bound(self, socket: Socket, paths: Paths, name: str, mode: int) -> Socket:
        """Bind an endpoint whose socket file has this ``mode``."""
        socket.linger = 0
        if name == "ingest":
            socket.maxmsgsize = wire.MAX_MESSAGE_BYTES
            socket.rcvhwm = self._settings.bus.collector_queue
        else:
            socket.maxmsgsize = _REQUEST_BYTES
        if name == "events":
            socket.sndhwm = self._settings.bus.subscriber_queue
            # Report each new subscriber, even if others have the same subscription.
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        if name == "replay":
            socket.sndhwm = self._settings.bus.replay_queue
        endpoint = paths.endpoint(name)
        try:
            # Restrict access from the start; the group gets its rights only by chmod().
            with for_this_user_alone():
                socket.bind(endpoint)
            Path(endpoint.removeprefix("ipc://")).chmod(mode)
        except (zmq.ZMQError, OSError) as error:
            raise BusError(f"cannot listen on {endpoint}: {error}") from None
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _tapped(self, context: Context, settings: Settings, paths: Paths) -> Tap | None:
        if not settings.bus.tap_bind:
            return None
        from bus.broker.tap import Tap  # noqa: PLC0415 - brings asyncio and a thread

        tap = Tap(context, settings, paths)
        tap.bind(self._events)
        return tap

    def _take_subscriptions(self) -> None:
        for _ in range(_ROUND):
            try:
                message = self._events.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            # A message that is not a subscription is passed up as it is; ignore it.
            if message[:1] in {b"\x00", b"\x01"}:
                self._reports.append(SubscriptionChanged(message[:1] == b"\x01", message[1:]))

    def _forward(self) -> None:
        # Local names, because this loop handles every message of the bus.
        receive, send, accept = (
            self._ingest.recv_multipart,
            self._events.send_multipart,
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
                self._complaints.note("ingest", error)
                continue
            # Remember, then forward: a replay that follows must include the message.
            if accept(topic, frames[1], header, body):
                send(frames)

    def _answer(self) -> None:
        for _ in range(_REPLAYS):
            try:
                peer, *request = self._replay.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                answer = self._replayed(parse_replay_request(request))
            except WireError as error:
                self._complaints.note("replay", error)
                continue
            self._replay.send_multipart([peer, *answer])

    def _replayed(self, request: ReplayRequest) -> list[bytes]:
        buffer = self.buffers.get(request.topic)
        if buffer is None:
            return replay_reply(request, (0, 0, 0), ())
        state = (buffer.epoch, buffer.term, buffer.seq)
        return replay_reply(request, state, buffer.after(request.after))

    def _exchange(self, ready: int) -> None:
        """Obey the supervisor's commands, and send it reports while the pipe is writable."""
        # At POLLERR the read raises EOFError, which ends serve().
        if ready & (zmq.POLLIN | zmq.POLLERR):
            while self._pipe.poll():
                self._obey(self._pipe.recv())
        if ready & zmq.POLLOUT:
            batch = min(len(self._reports), _REPORTS)
            self._pipe.send([self._reports.popleft() for _ in range(batch)])
        # Wait for POLLOUT only with reports to send; a pipe is almost always writable.
        wanted = zmq.POLLIN | zmq.POLLOUT if self._reports else zmq.POLLIN
        self._poller.register(self._pipe.fileno(), wanted)

    def _obey(self, command: Command) -> None:
        match command:
            case DropTopic(topic, term):
                self.buffers.forget(topic, term)
            case RejectTopic(topic, body, code):
                header = self.buffers.refuse(topic, body, code)
                self._events.send_multipart([topic, header, body])


class Complaints:
    """Count malformed messages, and log them at a bounded rate."""

    def __init__(self) -> None:
        self.count = 0
        self._quiet_until = 0.0

    def note(self, socket: str, error: WireError) -> None:
        """Count one, and log it unless another one was logged a moment ago."""
        self.count += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _COMPLAIN_SECONDS
            log.warning(
                "malformed_message_dropped", socket=socket, reason=str(error), total=self.count
            )
