"""Starts workers from a preloaded fork server.

A worker forked from it costs some milliseconds and few private pages, where a
fresh interpreter costs a quarter of a second and 26 MB.
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

#: The modules that the fork server loads once, for all children.  Those of deployments
#: are not among them: docker-py and the store's library would double the memory that
#: each fork copies the tables of, and a deployment takes its time anyway.
PRELOAD: Final = (
    "mist.process",
    "bus.broker.main",
    "workers.container.main",
    "workers.metrics.main",
)

#: What multiprocessing reports when the fork server itself was killed.
_UNKNOWN: Final = 255
#: How long a child is waited for that was killed because its fork server was.
_KILL_MS: Final = 1_000


def _nothing() -> None:
    """Most workers leave nothing to be given back."""


class Worker(Handle):
    """A child of the fork server."""

    def __init__(self, started: BaseProcess, closed: Callable[[], None]) -> None:
        assert started.pid is not None
        super().__init__(started.pid)
        self._process = started
        self._closed = closed

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
        self._closed()


class ForkServer:
    """The fork server of this process; it starts with its first worker, and again if it dies."""

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
        """Start one worker; OSError or EOFError if that fails.

        ``closed`` is called when it has ended and its descriptors are released.
        """
        child = self._context.Process(
            target=target,
            args=args,
            name=name,
            daemon=True,  # should this process end by an exception, it does not wait for children
        )
        with _no_main_module():
            resource_tracker.ensure_running()  # first: it would let go of what is held back
            with _held_back(signal.SIGTERM):
                forkserver.ensure_running()
            child.start()
        return Worker(child, closed)

    def close(self) -> None:
        """End the fork server, once all its children have ended.

        It would end by itself a moment after this process; waiting for it here
        means that nothing of the service is left when this process is gone.
        """
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


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
