"""The entry point of every process that the supervisor starts.

A child receives an :class:`Assignment`, runs the ``main`` of its module under
:func:`run`, and reports the result by its exit status: 0 is "finished", the status of
a MistError other than FAILURE is "cannot start", and anything else is a crash.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, NamedTuple

import structlog

from mist import heartbeat, logs
from mist.errors import BrokenInstallation, Exit, MistError
from mist.paths import Paths
from mist.settings import Settings

log = structlog.get_logger(__name__)

ProcessKind = Literal[
    "broker", "tap", "metrics", "container", "containers", "stats", "deployment", "reader"
]

# How long a worker may take to load its modules; those of a deployment are many.
_LOAD_SECONDS: Final = 30.0

# prctl(2), linux/prctl.h
_PR_SET_CHILD_SUBREAPER: Final = 36

# The kernel truncates a process name to 15 characters (proc_pid_comm(5)).
_COMM: Final = Path("/proc/self/comm")


class Assignment(NamedTuple):
    """The instructions for one child of the supervisor."""

    kind: ProcessKind
    target: int
    """The application's or deployment's id, a reader's number, or 0."""
    term: int
    """The start time from ``time.time_ns()``: the fencing token in bus message headers."""
    resume: bool
    """A predecessor crashed; resume where it stopped."""
    reason: str = ""
    """Why the supervisor ended the predecessor; empty if it ended by itself."""
    container: str = ""
    """The name of the container whose figures to collect."""

    @property
    def name(self) -> str:
        """The name in the supervisor's table, such as ``container/12``."""
        target = self.target or self.container
        return f"{self.kind}/{target}" if target else self.kind


def run(
    entry: str, assignment: Assignment, settings: Settings, paths: Paths, *more: object
) -> None:
    """Run a child: call the function named by ``entry`` (``package.module:function``).

    ``more`` holds the arguments that only some entries take, such as the broker's pipe and a
    collector's notice.
    """
    gc.freeze()  # a collection would write to pages shared with the fork server, copying them
    logs.configure(settings)
    logs.name_process(assignment.name)
    name(assignment.name)
    # A terminal sends ^C to the whole process group; only the supervisor handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    # The fork server blocks SIGTERM; one sent before this point is delivered now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    die_with_parent()
    if assignment.kind == "deployment":
        # The programs that it starts stay below it, so that they can be ended with it.
        adopt_orphans()
    sys.exit(_outcome(entry, assignment, settings, paths, *more))


def raise_file_limit() -> None:
    """Allow this process and its children as many open files as the system permits.

    Shells and systemd set a soft limit of 1,024 for programs that use select(2), which
    this service does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resolve(entry: str) -> Callable[..., Any]:
    """Return the function named by ``package.module:function``."""
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def die_with_parent() -> None:
    """End this process as soon as the one that started it has ended.

    Waits for a pipe that only the parent holds open.  PR_SET_PDEATHSIG would not work,
    because the kernel's parent of this process is the fork server.
    """
    parent = parent_process()
    if parent is None:
        return
    end_with(parent.sentinel)


def end_with(descriptor: int) -> None:
    """End this process as soon as the pipe or process behind ``descriptor`` has ended."""
    # A thread, because the main loop may be blocked in a read of the engine.
    threading.Thread(target=_watch, args=(descriptor,), name="parent", daemon=True).start()


def adopt_orphans(adopt: bool = True) -> None:
    """Become the parent of all descendants whose own parent ends (prctl(2)), or cease to."""
    import ctypes  # noqa: PLC0415 - most workers do not need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    # Not sys.exit(), which would only end this thread.
    os._exit(Exit.TEMPORARY)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(Exit.OK)  # unwinds the stack, so that context managers clean up


def _outcome(entry: str, *arguments: object) -> int:
    try:
        with heartbeat.blocking(_LOAD_SECONDS):
            function = resolve(entry)
        function(*arguments)
    except (MistError, ImportError, SyntaxError) as error:
        known = error if isinstance(error, MistError) else BrokenInstallation(entry, str(error))
        log.error("process_failed", reason=str(known))
        return known.exit_status
    except Exception:  # unforeseen, so with a traceback; the supervisor restarts the process
        log.exception("crashed")
        return Exit.FAILURE
    return Exit.OK


def name(text: str) -> None:
    """Set the process name that ``ps`` and ``top`` show."""
    with suppress(OSError):
        _COMM.write_text(f"mist {text}"[:15])


@contextmanager
def for_this_user_alone() -> Iterator[None]:
    """Create sockets without access for other users until their modes are set."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
