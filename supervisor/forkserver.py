"""Start workers from a preloaded fork server.

A forked worker costs a few milliseconds and few private pages.  A fresh interpreter
costs a quarter of a second and 26 MB.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Final

from supervisor.programs import Handle

# The modules that the fork server loads once for all children.  The modules of deployments
# are left out: docker-py and SQLAlchemy would double the memory whose page tables each
# fork copies, and their load time hardly matters next to a build.
PRELOAD: Final = (
    "mist.process",
    "bus.broker.main",
    "workers.container.main",
    "workers.metrics.main",
    "workers.reader.main",
)

# The exit code that multiprocessing reports when the fork server itself was killed.
_UNKNOWN: Final = 255
# The time that a killed orphan of a dead fork server gets to end.
_KILL_MS: Final = 1_000


def _nothing() -> None:
    """Do nothing: most workers hold no resources of the supervisor."""


class Worker(Handle):
    """A child of the fork server."""

    def __init__(self, started: BaseProcess, closed: Callable[[], None]) -> None:
        assert started.pid is not None
        super().__init__(started.pid)
        self._process = started
        self._closed = closed

    @property
    def sentinel(self) -> int:
        """The fork server's pipe, which is readable once the process has ended."""
        return self._process.sentinel

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        code = self._process.exitcode
        # A dead fork server takes the exit codes with it and leaves its children running.
        # Kill such an orphan, because the supervisor could not see it end.
        if code == _UNKNOWN and not self.ended():
            self.send_signal(signal.SIGKILL)
            self.ended(_KILL_MS)
            return -signal.SIGKILL
        return code

    def close(self) -> None:
        """Release the descriptors of a process that has ended."""
        super().close()
        self._process.close()
        self._closed()


class ForkServer:
    """The fork server of this process.

    It starts with the first worker, and again with the next worker if it has died.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))

    def start(
        self,
        name: str,
        target: Callable[..., None],
        args: tuple[object, ...],
        closed: Callable[[], None] = _nothing,
    ) -> Worker:
        """Start one worker, or raise OSError or EOFError.

        Call ``closed`` when the worker has ended and its descriptors are released.
        """
        child = self._context.Process(
            target=target,
            args=args,
            name=name,
            daemon=True,  # an exit by an exception terminates the children, then joins them
        )
        with _no_main_module():
            # Start the tracker first.  The fork server's start would do so inside _held_back,
            # and the tracker's start ends with unblocking SIGTERM.
            resource_tracker.ensure_running()
            with _held_back(signal.SIGTERM):
                forkserver.ensure_running()
            child.start()
        return Worker(child, closed)

    def close(self) -> None:
        """End the fork server.  Call this once all its children have ended."""
        # It would also end by itself, but only a moment after this process.  Waiting for it
        # leaves no process of the service behind.  multiprocessing has no public way to do so.
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep multiprocessing from importing this program's ``__main__`` in each child."""
    # multiprocessing imports it to unpickle objects that ``__main__`` defines.  There are
    # none here, and the modules of the command line would cost each child time and memory.
    real = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = real


@contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Block a signal for the processes started in this context, which inherit the mask."""
    # A SIGTERM to the whole process group or control group must not end the fork server:
    # the exit codes of all children would be lost with it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
