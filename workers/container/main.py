"""The entry point of a log collector: one process per application with clients."""

from __future__ import annotations

import zmq

from bus import topics
from bus.publisher import Publisher
from mist.noticeboard import Notice
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.container.collector import Collector
from workers.container.docker_logs import DockerLogs
from workers.container.publisher import LogPublisher


def main(assignment: Assignment, settings: Settings, paths: Paths, app: Notice) -> None:
    """Collect the log of one application's container until SIGTERM."""
    with zmq.Context() as context:
        topic = topics.container_log(assignment.target)
        publisher = Publisher(context, paths, settings, topic, assignment.term)
        try:
            out = LogPublisher(publisher, settings)
            # The broker's messages for this topic tell where the predecessor stopped.
            snapshot = publisher.claim(resume=assignment.resume)
            if not snapshot.tells_where_to_resume:
                # Nothing to resume from, so the stream starts with a new history.
                snapshot = publisher.claim(resume=False)
            out.recall(snapshot)
            Collector(app, DockerLogs(settings, app.collectors), out, settings).run()
        finally:
            publisher.close()
