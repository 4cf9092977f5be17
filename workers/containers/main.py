"""The entry points of the two collectors: of all containers, and of one container's figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import zmq
from msgspec import structs

from bus import topics
from bus.publisher import Publisher
from mist.noticeboard import Notice
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.containers.inventory import Inventory
from workers.containers.stats import StatsCollector

# A sample of one container has less than this.
_SAMPLE_BYTES: Final = 400
# A new broker is sent the newest list in any case, and as many figures as fit into this.
_LIST_BYTES: Final = 65_536


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Publish the host's containers and their figures until SIGTERM."""
    with _publisher(assignment, settings, paths, topics.CONTAINERS, _LIST_BYTES) as publisher:
        Inventory(publisher, settings).run()


def stats(assignment: Assignment, settings: Settings, paths: Paths, app: Notice) -> None:
    """Publish the figures of one container until SIGTERM."""
    topic = topics.container_stats(assignment.container)
    keep = settings.containers.history_samples * _SAMPLE_BYTES
    with _publisher(assignment, settings, paths, topic, keep) as publisher:
        StatsCollector(assignment.container, app, publisher, settings).run()


@contextmanager
def _publisher(
    assignment: Assignment, settings: Settings, paths: Paths, topic: bytes, keep: int
) -> Iterator[Publisher]:
    bus = structs.replace(
        settings.bus, resend_bytes=min(settings.bus.resend_bytes, max(1024, keep))
    )
    with zmq.Context() as context:
        modest = structs.replace(settings, bus=bus)
        publisher = Publisher(context, paths, modest, topic, assignment.term)
        try:
            publisher.claim(resume=assignment.resume)
            yield publisher
        finally:
            publisher.close()
