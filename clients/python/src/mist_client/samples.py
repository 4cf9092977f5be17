"""Streams that bring one sample a second, with a history of them, and the host's containers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Generic, TypeVar

import msgspec

from mist_client import wire
from mist_client.events import (
    ContainersEvent,
    End,
    HostContainers,
    HostUsage,
    MetricsEvent,
    MetricsSample,
    Reconnected,
    UsageEvent,
    UsageSample,
)
from mist_client.logs import status_of
from mist_client.source import E, Query, Refused, Source

# The number of samples that the service keeps.
_LONGEST_HISTORY: Final = 300
# Earlier samples come at once; every sample after this is new, whatever its time.
_HISTORY_SECONDS: Final = 0.5
_MICROSECONDS: Final = len("2025-01-15T10:30:00.000000")

_S = TypeVar("_S", MetricsSample, UsageSample)


class _Samples(Source[E], Generic[E, _S]):
    """After a lost connection, ask for the samples that were missed, and deliver each once."""

    def __init__(self, history: int | None) -> None:
        self._asked = history
        self._latest = ""
        self._latest_at = 0.0
        self._joined_at = 0.0
        self._downtime: float | None = None

    def joined(self, downtime: float | None) -> None:
        """Note when the history comes."""
        self._joined_at = self.clock()
        self._downtime = downtime

    def _history(self) -> int | None:
        if not self._latest:
            return self._asked
        return min(_LONGEST_HISTORY, math.ceil(self.clock() - self._latest_at) + 2)

    def _take(self, sample: _S) -> Iterable[_S | Reconnected]:
        now, time, last = self.clock(), sample.time, self._latest
        # Later on, times do not prove the order, because the host's clock may be set back.
        if time == last or (time < last and now - self._joined_at < _HISTORY_SECONDS):
            return ()
        self._latest, self._latest_at = time, now
        downtime, self._downtime = self._downtime, None
        if downtime is None:
            return (sample,)
        return (Reconnected(_missing(last, time), exact=False, downtime=downtime), sample)


class Metrics(_Samples[MetricsEvent, MetricsSample]):
    """The host's metrics."""

    path = "/ws/metrics"

    def query(self) -> Query:
        """Ask for the samples that are missing."""
        return {"history": self._history()}

    def receive(self, data: bytes) -> Iterable[MetricsEvent]:
        """Return the events of a message."""
        try:
            # A sample is the whole message, and has no type.
            return self._take(_sample.decode(data))
        except msgspec.MsgspecError:
            _raise_refusal(data)
            return ()


class ContainerUsage(_Samples[UsageEvent, UsageSample]):
    """What one container uses."""

    path = "/ws/container/stats"

    def __init__(self, target: Query, history: int | None) -> None:
        super().__init__(history)
        self._target = target

    def query(self) -> Query:
        """Ask for the samples that are missing."""
        return {**self._target, "history": self._history()}

    def receive(self, data: bytes) -> Iterable[UsageEvent]:
        """Return the events of a message."""
        try:
            message = wire.USAGE.decode(data)
        except msgspec.MsgspecError:
            return ()
        if isinstance(message, wire.Used):
            return self._take(UsageSample(message.timestamp, message.data))
        if isinstance(message, wire.Container):
            return (status_of(message),)
        if isinstance(message, wire.Error):
            raise Refused(message.data.message)
        self.complete = True
        return (End(message.timestamp, message.data.message),)


class Containers(Source[ContainersEvent]):
    """The containers of the host, and what they use."""

    path = "/ws/containers"

    def __init__(self) -> None:
        self._downtime: float | None = None

    def query(self) -> Query:
        """Ask for the list as of now."""
        return {}

    def joined(self, downtime: float | None) -> None:
        """Note that a list comes, which makes up for what was missed."""
        self._downtime = downtime

    def receive(self, data: bytes) -> Iterable[ContainersEvent]:
        """Return the events of a message."""
        try:
            message = wire.CONTAINERS.decode(data)
        except msgspec.MsgspecError:
            return ()
        if isinstance(message, wire.Error):
            raise Refused(message.data.message)
        event: ContainersEvent
        if isinstance(message, wire.Listed):
            event = HostContainers(message.timestamp, message.data.containers)
        else:
            event = HostUsage(message.timestamp, message.data.stats)
        downtime, self._downtime = self._downtime, None
        return (event,) if downtime is None else (Reconnected(0, True, downtime), event)


_sample: Final = msgspec.json.Decoder(MetricsSample)


def _raise_refusal(data: bytes) -> None:
    """Raise Refused if this is an error message."""
    try:
        text = wire.ERROR.decode(data).data.message
    except msgspec.MsgspecError:
        return
    raise Refused(text)


def _missing(last: str, time: str) -> int:
    """Return how many samples are missing between two, of which there is one a second."""
    try:
        before, after = (datetime.fromisoformat(each[:_MICROSECONDS]) for each in (last, time))
    except ValueError:
        return 0
    return max(0, round((after - before).total_seconds()) - 1)
