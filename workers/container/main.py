"""The entry point of a log collector: one process per log with clients."""

from __future__ import annotations

import zmq

from bus import topics
from bus.publisher import Publisher
from mist.noticeboard import Notice
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.container import claim_file
from workers.container.claim_file import ClaimFile
from workers.container.collector import Collector
from workers.container.docker_logs import DockerLogs
from workers.container.publisher import LogPublisher


def main(assignment: Assignment, settings: Settings, paths: Paths, app: Notice) -> None:
    """Collect the log of one container until SIGTERM."""
    with zmq.Context() as context:
        named = assignment.container
        topic = topics.named_log(named) if named else topics.container_log(assignment.target)
        publisher = Publisher(context, paths, settings, topic, assignment.term)
        if named:
            claim_file.prune(paths)
        claims = ClaimFile.open(paths, assignment.name.replace("/", "-"), assignment.term)
        try:
            out = LogPublisher(publisher, settings, claims)
            out.take_over(resume=assignment.resume)
            Collector(app, DockerLogs(settings, app.collectors), out, settings).run()
        finally:
            publisher.close()
