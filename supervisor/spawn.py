"""Starts processes: workers from a preloaded fork server, and programs of their own.

A worker forked from the fork server costs some milliseconds and few private
pages, where a fresh interpreter costs a quarter of a second and 26 MB.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Final, Protocol

from mist import process
from mist.errors import StoreError
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import App
from supervisor.child import Process
from supervisor.specs import PRELOAD, Spec
from supervisor.terms import next_term

#: What multiprocessing reports when the fork server itself was killed.
_UNKNOWN: Final = 255
#: How long a child is waited for that was killed because its fork server was.
_KILL_MS: Final = 1_000


class Handle:
    """A process by its descriptor (pidfd_open(2)): a number that was reused is never hit."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # it has ended, and somebody else has reaped it
            self._pidfd = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Nothing happens if the process has ended."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, timeout_ms: int = 0) -> bool:
        """Whether the process has ended, at the latest after ``timeout_ms``."""
        if self._pidfd is None:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(timeout_ms))

    @property
    def descriptor(self) -> int:
        """Readable once the process has ended."""
        return -1 if self._pidfd is None else self._pidfd

    def close(self) -> None:
        """Release the descriptor."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


class Worker(Handle):
    """A child of the fork server."""

    def __init__(self, started: multiprocessing.process.BaseProcess) -> None:
        assert started.pid is not None
        super().__init__(started.pid)
        self._process = started

    @property
    def sentinel(self) -> int:
        """The fork server's word that the process ended."""
        return self._process.sentinel

    def exit_code(self) -> int | None:
        """None while it runs.

        A fork server that dies takes the exit codes with it and leaves its
        children behind; such a child is killed, for nobody could watch it.
        """
        code = self._process.exitcode
        if code == _UNKNOWN and not self.ended():
            self.send_signal(signal.SIGKILL)
            self.ended(_KILL_MS)
            return -signal.SIGKILL
        return code

    def close(self) -> None:
        """Release the descriptors of a process that has ended."""
        super().close()
        self._process.close()


class Program(Handle):
    """A program of its own, which is told by the kernel when the supervisor dies."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 - our own command
            ["setpriv", "--pdeathsig", "TERM", *command],  # noqa: S607 - util-linux, on any Debian
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's ^C is the supervisor's to handle
        )
        super().__init__(self._popen.pid)

    def send_signal(self, number: int) -> None:
        """Nothing happens if the program has ended; SIGKILL takes its own children along.

        gunicorn's workers would otherwise hold the port for some moments more.
        """
        if number == signal.SIGKILL and self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)  # its number is not given away before it is reaped
        else:
            super().send_signal(number)

    @property
    def sentinel(self) -> int:
        """The descriptor of the process."""
        return self.descriptor

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()


class Apps(Protocol):
    """The part of the store's ``apps`` that collectors are started with."""

    def get(self, app_id: int) -> App | None:
        """The application of this id, or StoreError."""


class Spawner:
    """Starts what a specification names."""

    def __init__(
        self, settings: Settings, paths: Paths, apps: Apps, web: Sequence[str] = ()
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._apps = apps
        self._web = web
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))
        self.link: Connection | None = None
        """The pipe to the broker that was started last."""

    def __call__(self, spec: Spec, resume: bool) -> Process:
        """Start one process; OSError or EOFError if that fails."""
        if spec.kind is None:
            return Program(self._web, self._environ())
        container = self._container(spec)
        assignment = Assignment(spec.kind, spec.target, next_term(), resume, container)
        if spec.kind != "broker":
            return self._worker(spec, assignment)
        self.close_link()
        self.link, theirs = self._context.Pipe()
        with theirs:
            return self._worker(spec, assignment, theirs)

    def close_link(self) -> None:
        """Close the pipe to the broker."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def close(self) -> None:
        """End the fork server too, once all its children have ended.

        It would end by itself a moment after this process; waiting for it here
        means that nothing of the service is left when this process is gone.
        """
        self.close_link()
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]

    def _container(self, spec: Spec) -> str:
        """The container of a collector's application; empty if the collector is to find out."""
        if spec.kind == "container":
            with suppress(StoreError):
                app = self._apps.get(spec.target)
                return app.container if app else ""
        return ""

    def _worker(self, spec: Spec, assignment: Assignment, *more: object) -> Worker:
        child = self._context.Process(
            target=process.run,
            args=(spec.entry, assignment, self._settings, self._paths, *more),
            name=spec.name,
            daemon=True,  # should this process end by an exception, it does not wait for children
        )
        with _no_main_module():
            resource_tracker.ensure_running()  # first: it would let go of what is held back
            with _held_back(signal.SIGTERM):
                forkserver.ensure_running()
            child.start()
        return Worker(child)

    def _environ(self) -> dict[str, str]:
        """The settings in force, the command line's included, for a program that loads its own."""
        server = self._settings.server
        return os.environ | {
            "MIST_HOME": str(self._paths.home),
            "MIST_RUNTIME": str(self._paths.runtime),
            "NOTIFY_SOCKET": str(self._paths.notify),
            "MIST_SERVER_BIND": server.bind,
            "MIST_SERVER_WORKERS": str(server.workers),
        }


def gunicorn(configuration: str) -> list[str]:
    """The command of the web tier."""
    return [sys.executable, "-m", "api.serve", "-c", configuration]


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep multiprocessing from running this program's ``__main__`` again in each child.

    It does so to unpickle what ``__main__`` defines; here that is nothing, and
    the modules of the command line would cost each child time and memory.
    """
    real = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = real


@contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Block a signal for what is started meanwhile; it inherits the mask, and keeps it.

    A SIGTERM to the whole process group or control group must not end the fork
    server, which would take the exit codes of all children with it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
