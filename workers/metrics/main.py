"""The entry point of the sampler: one loop on a fixed-rate timer."""

from __future__ import annotations

from collections.abc import Callable

import zmq
from msgspec import structs

from bus import topics
from bus.publisher import Publisher
from bus.wire import Kind
from mist import clock, messages
from mist.messages import MetricsSample
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.metrics.counts import Counts
from workers.metrics.host import Host
from workers.metrics.timer import FixedRateTimer

# A sample has about 300 bytes.  A new broker is sent only as many samples as the history
# holds.
_SAMPLE_BYTES = 350


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Publish one sample per second until SIGTERM.

    Raise SettingsError for an unreadable ``metrics.disk_path``, BusError without a broker.
    """
    host = Host(settings.metrics.disk_path)
    counts = Counts(settings)
    counts.start()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = Publisher(context, paths, _modest(settings), topics.METRICS, assignment.term)
    try:
        publisher.claim(resume=assignment.resume)
        _run(publisher, FixedRateTimer(), lambda: _sample(host, counts))
    finally:
        counts.stop()
        publisher.close()
        context.term()


def _run(publisher: Publisher, timer: FixedRateTimer, sample: Callable[[], bytes]) -> None:
    while True:
        # The wait for the next deadline also notices when the broker comes or goes.
        while remaining := timer.remaining():
            if publisher.wait(remaining):
                publisher.service()
        body = sample()
        # Without a broker the sample is dropped, because a later one replaces it.
        if publisher.service():
            publisher.publish(Kind.METRICS, body)
        timer.met()


def _sample(host: Host, counts: Counts) -> bytes:
    return messages.metrics(
        MetricsSample(clock.now(), host.cpu(), host.memory(), host.disk(), counts.figures())
    )


def _modest(settings: Settings) -> Settings:
    keep = max(1024, settings.metrics.history_samples * _SAMPLE_BYTES)
    bus = structs.replace(settings.bus, resend_bytes=min(settings.bus.resend_bytes, keep))
    return structs.replace(settings, bus=bus)
