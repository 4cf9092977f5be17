"""The collector of the host's containers: their list, and once a second their figures."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Final

import structlog

from bus.publisher import Publisher
from bus.wire import Kind
from mist import close_codes, messages
from mist.errors import EngineError
from mist.messages import Figures
from mist.settings import Settings
from workers.containers import listing
from workers.containers.events import EventStream
from workers.containers.listing import Known
from workers.containers.meter import Gauge
from workers.containers.trouble import Trouble
from workers.engine import EngineRefused
from workers.metrics.timer import FixedRateTimer

log = structlog.get_logger(__name__)

# The interval between two lists if the engine does not report changes.
_BLIND_SECONDS: Final = 1.0
# The list is read once more after this many seconds, for changes that were not reported.
_LATE_SECONDS: Final = 1.0


class Inventory:
    """Publish the list of containers when it changes, and their figures every second."""

    def __init__(self, publisher: Publisher, settings: Settings) -> None:
        self._publisher = publisher
        self._settings = settings
        self._limits = settings.containers
        self._trouble = Trouble(settings)
        self._events: EventStream | None = None
        self._known: dict[str, Known] = {}
        self._gauges: dict[str, Gauge] = {}
        self._changed: set[str] = set()  # to be described again
        self._refreshed = float("-inf")
        self._relist = float("-inf")
        self._reopen = float("-inf")
        self._unpublished = True
        self._served = False  # clients have a list, and no error after it
        self._connected = False
        self._timer = FixedRateTimer()

    def run(self) -> None:
        """Work until SIGTERM raises SystemExit."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Do everything that is due, then wait for the next event."""
        there = self._publisher.service()
        if time.monotonic() >= self._trouble.due:
            try:
                self._follow()
                self._trouble.over()
            except EngineError as error:
                self._lose(error)
        if there and self._connected and self._unpublished:
            self._publish_list()
            # After the list, because the first figures of a remote engine take their time.
            self._match_gauges()
        if not self._timer.remaining():
            self._sample(publish=there)
            self._timer.met()
        self._wait()

    # The list.

    def _follow(self) -> None:
        """Bring the list up to date."""
        now = time.monotonic()
        if not self._connected:
            self._connect()
            return
        if self._events is not None:
            try:
                self._changed |= self._events.take()
            except EngineRefused as error:
                self._go_blind(error)
        if now >= self._relist:
            self._compare()
        # The first change at once, those that follow it together.
        if self._changed and now >= self._refreshed + self._limits.settle_seconds:
            changed, self._changed = self._changed, set()
            self._refreshed = now
            self._describe(changed)

    def _connect(self) -> None:
        """Follow the engine's events, and describe all containers."""
        self._open_events()  # first, so that nothing falls between
        self._changed.clear()
        entries = listing.listed(self._settings)  # which tells whether the engine answers
        self._describe(entries.keys() | self._known.keys())
        self._unpublished |= not self._served
        self._connected = True
        # The engine answers the request for events before it reports any, so what changed
        # while the list was read may not be among them.
        self._relist = time.monotonic() + _LATE_SECONDS

    def _open_events(self) -> None:
        self._leave()
        self._reopen = time.monotonic() + self._limits.relist_seconds
        try:
            self._events = EventStream(self._settings)
        except EngineError as error:
            self._go_blind(error)

    def _go_blind(self, error: EngineError) -> None:
        """Do without events, which a socket proxy may refuse by a status or by hanging up."""
        self._leave()
        log.warning("engine_events_unavailable", reason=str(error))
        self._plan()

    def _compare(self) -> None:
        """Find containers that have changed without an event."""
        if self._events is None and time.monotonic() >= self._reopen:
            self._open_events()
        entries = listing.listed(self._settings)
        self._plan()
        self._changed |= self._known.keys() - entries.keys()
        for number, entry in entries.items():
            known = self._known.get(number)
            if known is None or known.entry.constant != entry.constant:
                self._changed.add(number)

    def _plan(self) -> None:
        pause = self._limits.relist_seconds
        sees = self._events is not None and self._events.begun
        self._relist = time.monotonic() + (pause if sees else min(pause, _BLIND_SECONDS))

    def _describe(self, ids: Iterable[str]) -> None:
        """Ask the engine for some containers."""
        asked = set(ids)
        found = listing.described(self._settings, asked)
        for number in asked - found.keys():
            self._unpublished |= self._known.pop(number, None) is not None
        for number, known in found.items():
            self._unpublished |= known.changed(self._known.get(number))
            self._known[number] = known

    def _match_gauges(self) -> None:
        """Have a gauge for each container that runs, if its figures can be read."""
        runs = {number: known.run for number, known in self._known.items() if known.run.pid}
        for number, gauge in list(self._gauges.items()):
            if runs.get(number) != gauge.run:
                gauge.close()
                del self._gauges[number]
        for number in runs.keys() - self._gauges.keys():
            try:
                self._gauges[number] = Gauge(self._settings, runs[number])
            except EngineError as error:
                log.debug("engine_stats_unavailable", reason=str(error))
                return  # tried again with the next sample

    def _publish_list(self) -> None:
        newest = sorted(self._known.values(), key=lambda known: known.container.name)
        began = [known.began for known in newest]
        body = messages.containers_on_bus([known.container for known in newest], began)
        self._publisher.publish(Kind.STATUS, body)
        self._unpublished, self._served, self._trouble.told = False, True, ""

    # The figures.

    def _sample(self, *, publish: bool) -> None:
        """Publish what every container has used since the last sample."""
        if not self._served:
            return
        self._match_gauges()
        figures: dict[str, Figures] = {}
        for number, gauge in self._gauges.items():
            try:
                found = gauge.look()
            except EngineError as error:
                # Not one attempt for each container: an engine that hangs takes its time.
                log.debug("engine_stats_unavailable", reason=str(error))
                break
            if found is not None:
                figures[number] = found
            elif gauge.ended:
                self._changed.add(number)
        if publish:
            self._publisher.publish(Kind.METRICS, messages.all_figures(figures))

    # Trouble.

    def _lose(self, error: EngineError) -> None:
        """Go on without the engine, and tell the clients if that lasts."""
        self._connected = False
        self._leave()
        # The figures of containers that outlive their engine are read all the same.
        text = self._trouble.add(error, streaming=self._served)
        if text is not None and self._publisher.service():
            log.warning("engine_containers_unavailable", reason=str(error))
            body = messages.error(text)
            self._publisher.publish(Kind.ERROR, body, code=close_codes.TRY_AGAIN_LATER)
            self._trouble.told, self._served = text, False

    def _leave(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _wait(self) -> None:
        """Wait for an event, the broker, or the next time at which something is due."""
        poll = select.poll()
        poll.register(self._publisher.descriptor, select.POLLIN)
        due = time.monotonic() + self._timer.remaining()
        if not self._connected:
            due = min(due, self._trouble.due)
        else:
            if self._events is not None:
                poll.register(self._events.descriptor, select.POLLIN)
            if self._changed:
                due = min(due, self._refreshed + self._limits.settle_seconds)
            due = min(due, self._relist)
        # poll(2) takes milliseconds; rounded up, so that it does not return early.
        poll.poll(max(0, int((due - time.monotonic()) * 1000) + 1))
