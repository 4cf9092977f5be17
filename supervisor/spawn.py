"""Start the process of a specification: a forked worker or a separate program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from mist import process
from mist.heartbeat import BEAT_SECONDS, Heartbeats
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from supervisor.broker_link import BrokerLink
from supervisor.child import Process
from supervisor.notices import Notices
from supervisor.programs import Program
from supervisor.readers import Readers
from supervisor.specs import FORK_SERVER, Spec
from supervisor.workers import ForkServer, Runner, Worker


class Spawner:
    """Start processes by their specifications."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is a different part of a process's start
        self,
        settings: Settings,
        paths: Paths,
        link: BrokerLink,
        notices: Notices,
        next_token: Callable[[], int],
        web: Sequence[str] = (),
        readers: Readers | None = None,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._link = link
        self._notices = notices
        self._readers = readers
        self._next_token = next_token
        self._web = web
        self._beats = Heartbeats()
        self._fork_server = ForkServer(self._beats)

    def __call__(self, spec: Spec, resume: bool) -> Process:
        """Start one process, or raise OSError."""
        if spec.name == FORK_SERVER:
            return self._fork_server.start_server()
        if spec.kind is None:
            return Program(self._web, self._environ())
        # A new token for each start, so that the broker drops what a predecessor still sends.
        assignment = Assignment(
            spec.kind, spec.target, self._next_token(), resume, spec.reason, spec.container
        )
        arguments: tuple[object, ...] = (spec.entry, assignment, self._settings, self._paths)
        if spec.kind == "broker":
            # Close the supervisor's copy of the broker's end.  Otherwise the link would not
            # see the end of the broker.
            with self._link.renew() as pipe:
                return self._fork_server.start(process.run, (*arguments, pipe))
        if spec.kind in {"container", "stats"}:
            return self._collector(spec, arguments)
        if spec.kind == "reader" and self._readers is not None:
            arguments += self._readers.assigned
        kind = Runner if spec.kind == "deployment" else Worker
        return self._fork_server.start(process.run, arguments, kind=kind)

    def close(self) -> None:
        """Release what the children share.  Call this once all of them have ended."""
        self._fork_server.close()
        self._beats.close()

    def _collector(self, spec: Spec, arguments: tuple[object, ...]) -> Worker:
        key = spec.container or spec.target

        def closed() -> None:
            self._notices.close(key)

        notice = self._notices.open(key)
        try:
            return self._fork_server.start(process.run, (*arguments, notice), closed)
        except OSError:
            closed()  # no process that could end will release the notice
            raise

    def _environ(self) -> dict[str, str]:
        """Return the environment for a program that loads the settings itself."""
        # Options of the command line are in no file that the program reads.
        server = self._settings.server
        environ = dict(os.environ)
        environ.pop("WATCHDOG_PID", None)  # the supervisor's own, from its service manager
        return environ | {
            "MIST_HOME": str(self._paths.home),
            "MIST_RUNTIME": str(self._paths.runtime),
            "NOTIFY_SOCKET": str(self._paths.notify),
            # The program reports twice in this time (sd_watchdog_enabled(3)).
            "WATCHDOG_USEC": str(int(2e6 * BEAT_SECONDS)),
            "MIST_SERVER_BIND": server.bind,
            "MIST_SERVER_WORKERS": str(server.workers),
        }


def gunicorn(configuration: str) -> list[str]:
    """Return the command of the web tier."""
    return [sys.executable, "-m", "api.server.serve", "-c", configuration]
