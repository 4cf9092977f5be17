"""A real broker in a process of its own, for tests of its clients."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import zmq

from bus import wire
from bus.publisher import Publisher
from bus.subscriber import ask_replay
from bus.wire import Flag, Kind
from mist import process
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings, StreamSettings
from tests.support.service.programs import kill
from tests.support.wait import wait_until

PATIENCE = 20.0


class Rig:
    """A broker, and collectors' publishers that the test plays."""

    def __init__(self, stack: ExitStack, paths: Paths, settings: Settings) -> None:
        self.stack, self.paths, self.settings = stack, paths, settings
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(self.context.destroy, 0)
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """The environment that leads the ``mist`` command to this broker."""
        return {"MIST_HOME": str(self.paths.home), "MIST_RUNTIME": str(self.paths.runtime)}

    def start(self) -> None:
        """Start a broker, also after a crash."""
        spawn = multiprocessing.get_context("forkserver")
        self.pipe, theirs = spawn.Pipe()
        self.broker = self.run("bus.broker.main:main", "broker", theirs)
        theirs.close()

    def run(
        self, entry: str, kind: process.ProcessKind, *more: object, resume: bool = False
    ) -> BaseProcess:
        """Start a child as the supervisor does; it is killed at the end of the test."""
        spawn = multiprocessing.get_context("forkserver")
        assignment = Assignment(kind, 0, time.time_ns(), resume)
        child = spawn.Process(
            target=process.run, args=(entry, assignment, self.settings, self.paths, *more)
        )
        child.start()
        self.stack.callback(kill, child)
        return child

    def publisher(self, topic: bytes, term: int = 0) -> Publisher:
        """Return a collector's publisher after its claim."""
        made = Publisher(self.context, self.paths, self.settings, topic, term or time.time_ns())
        made.claim(resume=False)
        return made

    def await_seq(self, topic: bytes, seq: int) -> None:
        """Poll until the broker has stored this many messages of the topic."""
        wait_until(
            lambda: ask_replay(self.context, self.paths, topic).seq >= seq,
            f"{topic!r} to reach {seq}",
            every=0.0,
        )


@contextmanager
def running(settings: Settings | None = None) -> Iterator[Rig]:
    """Run a broker in a directory with a path short enough for sockets."""
    quick = settings or Settings(streams=StreamSettings(reconcile_seconds=0.1, start_seconds=5.0))
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mist-", dir="/tmp")))
        yield Rig(stack, Paths(home, home), quick)


def history(publisher: Publisher, bodies: list[bytes]) -> None:
    """Return a collector's history, including READY."""
    for body in bodies:
        kind = Kind.STATUS if body.startswith(b'{"type":"status"') else Kind.LOG
        publisher.publish(kind, body, count=body.count(b"\n") + 1, flags=Flag.HISTORY)
    publisher.publish(Kind.READY, b"", flags=wire.NO_FLAGS)
