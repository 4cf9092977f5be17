"""Follows one topic of the bus, blocking: what the terminal commands read.

A follower subscribes (which is the demand that starts a collector), asks the
broker for what the topic carried before, and asks again whenever a number is
missing or nothing was heard for a while: the loss of a last message shows in no
later number.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import zmq

from bus import wire
from bus.reorder import Gap, ReorderBuffer
from bus.replay import parse_replay_reply
from bus.replay_client import ANSWER_SECONDS, ReplayClient
from bus.subscriber import events_socket, replay_socket, unanswered
from bus.wire import Message
from mist.errors import WireError
from mist.paths import Paths
from mist.settings import Settings

Item = Message | Gap

# How many messages one look at the socket takes, so that a flood does not starve replays.
_BATCH: Final = 256


class Follower:
    """The messages of ``topic`` in order, each once; a Gap where some are lost for ever.

    ``output``, a file descriptor, is watched as well: when nobody reads it any
    more ``take`` raises BrokenPipeError, so that ``mist logs APP | head`` on a
    silent container does not keep its collector alive.
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
        self._sequence = ReorderBuffer(settings.bus.subscriber_queue)
        self._events = events_socket(context, paths, settings)
        self._events.subscribe(topic)
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
        """End the subscription, and with it the demand."""
        self._events.close()
        self._replay_socket.close()

    @property
    def answered(self) -> bool:
        """Return True if the broker has said what the topic carried before."""
        return self._replay.answered

    def take(self, timeout: float) -> list[Item]:
        """What arrives next, as soon as something does; empty after ``timeout`` seconds.

        Raises BusError if there is no broker when the following begins; one that
        goes away later is waited for.
        """
        deadline = time.monotonic() + timeout
        self._patience = min(self._patience, time.monotonic() + ANSWER_SECONDS)
        while True:
            self._ask_if_due(time.monotonic())
            self._wait(deadline)
            live, drained = self._live()
            found = [*live, *self._replayed(drained)]
            now = time.monotonic()
            if found or now >= deadline:
                return found
            if not self.answered and now >= self._patience:
                endpoint = self._paths.endpoint("replay")
                raise unanswered(
                    self._paths, "replay", f"no broker answers on {endpoint}; is mist up?"
                )

    def _ask_if_due(self, now: float) -> None:
        if now < self._replay.next_step(missing=self._sequence.missing):
            return
        try:
            request = self._replay.ask(now, self._sequence.position)
            self._replay_socket.send_multipart(request, zmq.NOBLOCK)
        except zmq.Again:
            # No broker at the other end (yet): _wait wakes up when one is there.
            self._replay.withdraw()
            self._unsent = True
        else:
            self._unsent = False

    def _wait(self, deadline: float) -> None:
        poller = zmq.Poller()
        poller.register(self._events, zmq.POLLIN)
        wanted = zmq.POLLIN | zmq.POLLOUT if self._unsent else zmq.POLLIN
        poller.register(self._replay_socket, wanted)
        if self._output is not None:
            poller.register(self._output, zmq.POLLERR)
        pause = min([deadline, *self._next_steps()]) - time.monotonic()
        ready = dict(poller.poll(max(0, int(pause * 1000) + 1)))
        if self._output is not None and ready.get(self._output):
            raise BrokenPipeError

    def _next_steps(self) -> Iterator[float]:
        """The moments at which the follower has to act though nothing arrives."""
        if not self._unsent:
            yield self._replay.next_step(missing=self._sequence.missing)
        if not self.answered:
            yield self._patience

    def _live(self) -> tuple[list[Item], bool]:
        """What is there of the topic, and whether it is all of it."""
        found: list[Item] = []
        for _ in range(_BATCH):
            try:
                frames = self._events.recv_multipart(zmq.NOBLOCK)
                message = wire.parse(frames)
            except zmq.Again:
                return found, True
            except WireError:
                # Not ours; should a message of ours be damaged, its number is missed and asked for.
                continue
            # The subscription is a prefix, the order that of a single topic.
            if message.topic == self.topic:
                self._replay.hear(time.monotonic())
                found += self._sequence.feed(message)
        return found, False

    def _replayed(self, drained: bool) -> list[Item]:
        try:
            snapshot = parse_replay_reply(self._replay_socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return []
        if not self._replay.take(snapshot, time.monotonic()):
            return []
        return list(self._sequence.fill(snapshot, settled=self._replay.settled and drained))
