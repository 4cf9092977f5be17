"""The collector of one container's figures, which is known by its name."""

from __future__ import annotations

import select
import time
from typing import Final

import structlog

from bus.publisher import Publisher
from bus.wire import Kind
from mist import close_codes, messages
from mist.errors import EngineError
from mist.noticeboard import Notice
from mist.settings import Settings
from workers.container import status
from workers.container.container import Container, container_of, patience
from workers.container.docker_logs import DockerLogs
from workers.container.events import ContainerEvents
from workers.container.status import Shown
from workers.containers.meter import Gauge, Run
from workers.containers.trouble import Trouble
from workers.metrics.timer import FixedRateTimer
from workers.references import Inspection, find_container

log = structlog.get_logger(__name__)

# The interval, in seconds, between looks at a stopped container that may come back.
_AWAY_POLL: Final = 0.1


class StatsCollector:
    """Publish a container's figures once a second, across restarts of it and of the engine."""

    def __init__(self, name: str, app: Notice, publisher: Publisher, settings: Settings) -> None:
        self._name = name
        self._app = app
        self._publisher = publisher
        self._settings = settings
        self._limits = settings.collector
        self._engine = DockerLogs(settings, app.collectors)
        self._events = ContainerEvents(settings, publisher.descriptor)
        self._trouble = Trouble(settings)
        self._seen: Container | None = None
        self._shown: Shown | None = None
        self._served = False  # clients are sent figures, and no error or end after them

    def run(self) -> None:
        """Work until SIGTERM raises SystemExit."""
        while True:
            self.step()

    def step(self) -> None:
        """Look at the container, and do what its state demands."""
        try:
            inspection = find_container(self._settings, self._name)
            self._trouble.over()
            container = None if inspection is None else container_of(inspection)
            if inspection is not None and container is not None and container.running:
                self._follow(inspection, container)
            elif self._served:
                self._await_return()
            else:
                self._refuse_absent(container)
        except EngineError as error:
            self._lose(error)
            self._idle(max(0.0, self._trouble.due - time.monotonic()))

    # The container runs.

    def _follow(self, inspection: Inspection, container: Container) -> None:
        """Publish figures until this run of the container is over."""
        self._update_status(container, always=not self._served)
        self._seen, self._served, self._trouble.told = container, True, ""
        gauge = Gauge(self._settings, Run.of(inspection))
        timer, check = FixedRateTimer(), time.monotonic() + self._limits.silence_seconds
        self._events.follow(container.id)
        try:
            while not gauge.ended and self._served:
                self._wait(timer.remaining())
                now = time.monotonic()
                if now >= check or self._events.happened():
                    check = now + self._limits.silence_seconds
                    if not self._is_same(container):
                        return
                if not timer.remaining():
                    self._sample(gauge)
                    timer.met()
        finally:
            gauge.close()
        # The engine may not know yet that the container has ended.
        self._idle(_AWAY_POLL)

    def _sample(self, gauge: Gauge) -> None:
        try:
            found = gauge.look()
        except EngineError as error:
            self._lose(error)
            return
        # Without a broker the sample is dropped, because a later one replaces it.
        if found is not None and self._publisher.service():
            self._publisher.publish(Kind.METRICS, messages.figures(found))

    def _is_same(self, container: Container) -> bool:
        """Return False if the name belongs to another run or another container by now."""
        try:
            again = self._engine.look(self._name)
            self._trouble.over()
            if again is None or not again.same_run(container) or not again.running:
                return False
            self._update_status(again)
            self._events.follow(again.id)  # they may have broken off
        except EngineError as error:
            # The figures of a container that outlives its engine are read all the same.
            self._lose(error)
        return True

    # It does not.

    def _await_return(self) -> None:
        """Give the container time to come back; publish the end if it does not."""
        since = time.monotonic()
        while True:
            container = self._engine.look(self._name)
            if container is not None and container.running:
                return
            waited = time.monotonic() - since
            allowed = patience(self._seen, container, self._app.deploying, self._limits)
            left = allowed - waited
            if left <= 0:
                break
            if waited >= self._limits.stop_grace_seconds:
                self._update_status(container)
            self._idle(min(_AWAY_POLL, left))
        self._update_status(container)
        self._publish(Kind.END, messages.end("Stats stream ended"), close_codes.NORMAL)
        self._served, self._trouble.told = False, ""

    def _refuse_absent(self, container: Container | None) -> None:
        """Publish once that there is nothing to follow; look again in a moment."""
        if container is None:
            text, code = "Container not found", close_codes.NOT_FOUND
        else:
            text = f"Container is not running (state: {container.state})"
            code = close_codes.NOT_RUNNING
        if text != self._trouble.told:
            if container is not None:
                self._update_status(container, always=self._shown is None)
            self._refuse(text, code)
        # A web worker waits twice as long before it refuses a client with the remembered error.
        self._idle(self._limits.retry_seconds)

    def _lose(self, error: EngineError) -> None:
        text = self._trouble.add(error, streaming=self._served)
        if text is not None:
            log.warning("engine_stats_unavailable", reason=str(error))
            self._refuse(text, close_codes.TRY_AGAIN_LATER)

    # Publishing.

    def _update_status(self, container: Container | None, *, always: bool = False) -> None:
        """Publish the state and the health if they have changed."""
        shown = Shown.of(container)
        if shown == self._shown and not always:
            return
        words = "" if container is None else self._engine.words(container)
        body = status.encode(self._name, container, words, self._app.installation())
        self._publish(Kind.STATUS, body)
        self._shown = shown

    def _refuse(self, text: str, code: int) -> None:
        self._publish(Kind.ERROR, messages.error(text), code)
        self._served, self._trouble.told = False, text

    def _publish(self, kind: Kind, body: bytes, code: int = 0) -> None:
        """Publish something that must not be lost; wait for the broker."""
        while not self._publisher.service():
            self._publisher.wait()
        self._publisher.publish(kind, body, code=code)

    # Waiting.

    def _wait(self, seconds: float) -> None:
        """Wait for an event, the broker or so many seconds."""
        self._publisher.service()  # the descriptor is edge-triggered
        poll = select.poll()
        poll.register(self._events.descriptor, select.POLLIN)
        # poll(2) takes milliseconds; rounded up, so that it does not return early.
        poll.poll(int(seconds * 1000) + 1)

    def _idle(self, seconds: float) -> None:
        """Let so many seconds pass."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._publisher.wait(left):
                self._publisher.service()
