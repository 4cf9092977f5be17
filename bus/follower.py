"""A blocking reader of one topic of the bus, for the terminal commands.

A follower subscribes, which is the demand that starts a collector, and asks the broker
for the topic's earlier messages.  It asks again when a number is missing, and when the
topic has been quiet for a while, because no later number reveals the loss of the last
message.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

import zmq

from bus import wire
from bus.reorder import Gap, ReorderBuffer
from bus.replay import parse_replay_reply
from bus.replay_client import ANSWER_SECONDS, ReplayClient
from bus.subscriber import events_socket, replay_socket, unanswered
from bus.wire import Kind, Message
from mist.errors import WireError
from mist.paths import Paths
from mist.settings import Settings

Item = Message | Gap

# The most messages taken from the socket at once, so that a flood does not starve replays.
_BATCH: Final = 256


class Follower:
    """The messages of ``topic`` in order, each once, with a Gap in place of lost ones.

    ``output`` is a file descriptor to watch.  ``take`` raises BrokenPipeError once its
    reader has gone.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        paths: Paths,
        settings: Settings,
        topic: bytes,
        output: int | None = None,
    ) -> None:
        self.topic = topic
        self._paths = paths
        self._output = output
        self._reorder = ReorderBuffer(settings.bus.subscriber_queue)
        self._events = events_socket(context, paths, settings)
        self._events.subscribe(topic)  # before the first replay, so that nothing falls between
        self._replay = ReplayClient(topic, settings.streams.reconcile_seconds)
        self._replay_socket = replay_socket(context, paths)
        self._unsent = False
        self._patience = float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription and thereby the demand."""
        self._events.close()
        self._replay_socket.close()

    @property
    def answered(self) -> bool:
        """Return True if the broker has answered the request for earlier messages."""
        return self._replay.answered

    def take(self, timeout: float) -> list[Item]:
        """Return what arrives next; an empty list after ``timeout`` seconds.

        Raise BusError if no broker answers at the beginning.  Wait for a broker that goes
        away later.
        """
        deadline = time.monotonic() + timeout
        self._patience = min(self._patience, time.monotonic() + ANSWER_SECONDS)
        while True:
            self._ask_if_due(time.monotonic())
            self._wait(deadline)
            live, drained = self._live()
            found = [*live, *self._replayed(drained)]
            now = time.monotonic()
            if not found and not self.answered and now >= self._patience:
                endpoint = self._paths.endpoint("replay")
                raise unanswered(
                    self._paths, "replay", f"no broker answers on {endpoint}; is mist up?"
                )
            if found or now >= deadline:
                return found

    def watch(self, poller: zmq.Poller) -> float:
        """Let a poller wait for messages; return the time at which ``take`` is due without any."""
        poller.register(self._events, zmq.POLLIN)
        wanted = zmq.POLLIN | zmq.POLLOUT if self._unsent else zmq.POLLIN
        poller.register(self._replay_socket, wanted)
        return min(self._next_steps(), default=float("inf"))

    def _ask_if_due(self, now: float) -> None:
        if now < self._replay.next_step(missing=self._reorder.missing):
            return
        try:
            request = self._replay.ask(now, self._reorder.position)
            self._replay_socket.send_multipart(request, zmq.NOBLOCK)
        except zmq.Again:
            # No broker is connected; _wait returns when the socket becomes writable.
            self._replay.withdraw()
            self._unsent = True
        else:
            self._unsent = False

    def _wait(self, deadline: float) -> None:
        poller = zmq.Poller()
        due = self.watch(poller)
        if self._output is not None:
            # Otherwise `mist logs APP | head` on a silent container would keep the collector
            # alive, because only a write would notice that head has gone (poll(2), POLLERR).
            poller.register(self._output, zmq.POLLERR)
        pause = min(deadline, due) - time.monotonic()
        # Rounded up, so that the time has come when the poll returns.
        ready = dict(poller.poll(int(pause * 1000) + 1 if pause > 0 else 0))
        if self._output is not None and ready.get(self._output):
            raise BrokenPipeError

    def _next_steps(self) -> Iterator[float]:
        """Yield the times at which the follower has to act even if nothing arrives."""
        if not self._unsent:
            yield self._replay.next_step(missing=self._reorder.missing)
        if not self.answered:
            yield self._patience

    def _live(self) -> tuple[list[Item], bool]:
        """Return the messages that have arrived, and True if the socket was empty."""
        # An end after some messages may only mean that libzmq's thread has not refilled the
        # short queue (bus.receive_queue) yet.
        found: list[Item] = []
        for taken in range(_BATCH):
            try:
                frames = self._events.recv_multipart(zmq.NOBLOCK)
                message = wire.parse(frames)
            except zmq.Again:
                return found, not taken
            except WireError:
                # Not a message of ours.  Should one of ours be damaged, its missing number
                # leads to a replay.
                continue
            # A subscription is a prefix, so it may match other topics.
            if message.topic == self.topic:
                found += self._take_live(message)
        return found, False

    def _take_live(self, message: Message) -> Iterable[Item]:
        header = message.header
        if header.kind is Kind.POSITION:
            known = self._reorder.position
            # Before the first answer, everything is missing, and was asked for.
            if known.epoch and (header.epoch, header.seq) > known:
                self._replay.hurry()
            return ()
        self._replay.hear(time.monotonic())
        return self._reorder.feed(message)

    def _replayed(self, drained: bool) -> list[Item]:
        try:
            snapshot = parse_replay_reply(self._replay_socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return []
        if not self._replay.take(snapshot, time.monotonic()):
            return []
        return list(self._reorder.fill(snapshot, settled=self._replay.settled and drained))
