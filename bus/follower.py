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
from bus.replay import parse_replay_reply, replay_request
from bus.subscriber import events_socket, replay_socket, unanswered
from bus.wire import Message
from mist.errors import WireError
from mist.paths import Paths
from mist.settings import Settings

Item = Message | Gap

#: A broker answers within milliseconds; after this long a request is taken for lost.
ANSWER_SECONDS: Final = 2.0

#: How many messages one look at the socket takes, so that a flood does not starve replays.
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
        self.answered = False
        self._context = context
        self._paths = paths
        self._reconcile = settings.streams.reconcile_seconds
        self._output = output
        self._sequence = ReorderBuffer(settings.bus.subscriber_queue)
        self._events = events_socket(context, paths, settings)
        self._events.subscribe(topic)
        self._replay = replay_socket(context, paths)
        self._asked: float | None = None
        self._unsent = False
        self._ask_again = time.monotonic()
        self._quiet_since = time.monotonic()
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
        self._replay.close()

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
            found = [*self._live(), *self._replayed()]
            now = time.monotonic()
            if found or now >= deadline:
                return found
            if not self.answered and now >= self._patience:
                endpoint = self._paths.endpoint("replay")
                raise unanswered(
                    self._paths, "replay", f"no broker answers on {endpoint}; is mist up?"
                )

    def _ask_if_due(self, now: float) -> None:
        if self._asked is not None and now < self._asked + ANSWER_SECONDS:
            return
        if self._asked is not None:
            self._drop_request()
        if now >= self._next_request():
            self._ask(now)

    def _next_request(self) -> float:
        """When to ask next, while no request is under way."""
        return self._ask_again if self._sequence.missing else self._quiet_since + self._reconcile

    def _ask(self, now: float) -> None:
        try:
            request = replay_request(self.topic, self._sequence.position)
            self._replay.send_multipart(request, zmq.NOBLOCK)
        except zmq.Again:
            # No broker at the other end (yet): _wait wakes up when one is there.
            self._unsent = True
        else:
            self._unsent = False
            self._asked = now

    def _drop_request(self) -> None:
        """A late answer must not be taken for that of the next request: a new socket."""
        self._replay.close()
        self._replay = replay_socket(self._context, self._paths)
        self._asked = None

    def _wait(self, deadline: float) -> None:
        poller = zmq.Poller()
        poller.register(self._events, zmq.POLLIN)
        poller.register(self._replay, zmq.POLLIN | zmq.POLLOUT if self._unsent else zmq.POLLIN)
        if self._output is not None:
            poller.register(self._output, zmq.POLLERR)
        pause = min([deadline, *self._next_steps()]) - time.monotonic()
        ready = dict(poller.poll(max(0, int(pause * 1000) + 1)))
        if self._output is not None and ready.get(self._output):
            raise BrokenPipeError

    def _next_steps(self) -> Iterator[float]:
        """The moments at which the follower has to act though nothing arrives."""
        if self._asked is not None:
            yield self._asked + ANSWER_SECONDS
        elif not self._unsent:
            yield self._next_request()
        if not self.answered:
            yield self._patience

    def _live(self) -> Iterator[Item]:
        for _ in range(_BATCH):
            try:
                frames = self._events.recv_multipart(zmq.NOBLOCK)
                message = wire.parse(frames)
            except zmq.Again:
                return
            except WireError:
                # Not ours; should a message of ours be damaged, its number is missed and asked for.
                continue
            # The subscription is a prefix, the order that of a single topic.
            if message.topic == self.topic:
                self._quiet_since = time.monotonic()
                yield from self._sequence.feed(message)

    def _replayed(self) -> Iterator[Item]:
        try:
            snapshot = parse_replay_reply(self._replay.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return
        self._asked = None
        self.answered = True
        self._quiet_since = self._ask_again = time.monotonic()
        if not snapshot.epoch:
            # It knows nothing of the topic yet; its collector has to come first.
            self._ask_again += self._reconcile
        yield from self._sequence.fill(snapshot)
