"""A broker and log collectors as processes, without a supervisor or a web tier."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from typing import Any, Final

import msgspec
import zmq

from bus import topics
from bus.follower import Follower
from bus.reorder import Gap
from bus.wire import Kind, Message
from mist import process
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import open_store
from supervisor.notices import Notices
from tests.support.service.janitor import scratch
from tests.support.service.programs import kill
from tests.support.wait import wait_until

PATIENCE: Final = 30.0

Events = list[dict[str, Any]]


class Collecting:
    """A broker, one application's collector, and a subscriber that records everything."""

    def __init__(self, settings: Settings, container: str) -> None:
        self.settings = settings
        self.directory = scratch("mist-col-")
        self.paths = Paths(self.directory, self.directory)
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._spawn = multiprocessing.get_context("forkserver")
        self.store = open_store(settings, self.paths)
        self._stack.callback(self.store.close)
        self.store.migrate()
        self.app = self.store.apps.add("app", container=container)
        self.notices = Notices(self.store.apps, self.store.installation)
        self._stack.callback(self.notices.end)
        self._notice = self.notices.open(self.app.id)
        self.broker = self.start_broker()
        self.context: zmq.Context[zmq.Socket[bytes]] = self._stack.enter_context(zmq.Context())
        self.topic = topics.container_log(self.app.id)
        self.follower = self._stack.enter_context(
            Follower(self.context, self.paths, settings, self.topic)
        )
        self.got: list[Message] = []
        self.gaps = 0
        self.collector: BaseProcess | None = None

    def close(self) -> None:
        """End the processes and delete the state."""
        self._stack.close()

    def start_broker(self) -> BaseProcess:
        """Start the broker, also after a kill."""
        self._pipe, theirs = self._spawn.Pipe()
        assignment = Assignment("broker", 0, time.time_ns(), False)
        arguments = (assignment, self.settings, self.paths, theirs)
        self.broker = self._start("bus.broker.main:main", *arguments)
        theirs.close()
        assert self._pipe.poll(PATIENCE), "the broker does not start"
        assert isinstance(self._pipe.recv(), list)
        return self.broker

    def start(self, *, resume: bool = False) -> BaseProcess:
        """Start a collector, also after a crash."""
        assignment = Assignment("container", self.app.id, time.time_ns(), resume)
        arguments = (assignment, self.settings, self.paths, self._notice)
        self.collector = self._start("workers.container.main:main", *arguments)
        return self.collector

    def take(self, timeout: float) -> list[Message]:
        """Return and record the next messages; count gaps."""
        items = self.follower.take(timeout)
        self.gaps += sum(isinstance(item, Gap) for item in items)
        fresh = [item for item in items if isinstance(item, Message)]
        self.got += fresh
        return fresh

    def until(self, condition: Callable[[Collecting], object], seconds: float = PATIENCE) -> None:
        """Take messages until the condition holds; AssertionError shows what came instead."""

        def came() -> object:
            self.take(0.05)
            return condition(self)

        try:
            wait_until(came, "messages", seconds, every=0.0)
        except AssertionError as error:
            raise AssertionError(f"{error}; this is what came: {self.events()[-20:]}") from None

    def events(self) -> Events:
        """Return everything that clients would have received, decoded."""
        bodies = [message.body for message in self.got if message.body]
        return [msgspec.json.decode(one) for body in bodies for one in body.split(b"\n")]

    def lines(self) -> list[str]:
        """Return the text of every line."""
        return [event["data"]["line"] for event in self.events() if event["type"] == "log"]

    def kinds(self) -> list[Kind]:
        """Return the messages' kinds, collapsing consecutive lines."""
        found: list[Kind] = []
        for message in self.got:
            if message.header.kind is not Kind.LOG or found[-1:] != [Kind.LOG]:
                found.append(message.header.kind)
        return found

    def count(self, kind: Kind) -> int:
        """Return the number of messages of a kind."""
        return sum(message.header.kind is kind for message in self.got)

    def _start(self, entry: str, *arguments: object) -> BaseProcess:
        child = self._spawn.Process(target=process.run, args=(entry, *arguments))
        child.start()
        self._stack.callback(kill, child)
        return child
