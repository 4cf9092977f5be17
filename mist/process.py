"""The boundary between the supervisor and the processes that it starts.

A child is told what to do by an :class:`Assignment`, runs the ``main`` of its
module under :func:`run`, and says by its exit status how it ended: 0 is
"finished", the status of a MistError other than FAILURE is "cannot start", and
anything else is a crash.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, NamedTuple

from mist import logs
from mist.errors import BrokenInstallation, Exit, MistError
from mist.paths import Paths
from mist.settings import Settings

ProcessKind = Literal["broker", "metrics", "container", "deployment"]

#: The kernel keeps 15 characters of a process's name.
_COMM: Final = Path("/proc/self/comm")


class Assignment(NamedTuple):
    """What a child of the supervisor is told."""

    kind: ProcessKind
    target: int
    """The application's id, the deployment's id, or 0."""
    term: int
    """``time.time_ns()`` of the start; goes into the header of bus messages."""
    resume: bool
    """A predecessor crashed: go on where it stopped."""

    @property
    def name(self) -> str:
        """The name in the supervisor's table, such as ``container/12``."""
        return f"{self.kind}/{self.target}" if self.target else self.kind


def run(
    entry: str, assignment: Assignment, settings: Settings, paths: Paths, *more: object
) -> None:
    """Be the child: call the function ``entry`` names (``package.module:function``).

    ``more`` is what only some entries take, such as the broker's pipe and a collector's notice.
    """
    gc.freeze()  # what the fork server loaded is nobody's garbage: leave its pages shared
    logs.configure(settings)
    logs.name_process(assignment.name)
    _name(assignment.name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is the supervisor's to handle
    signal.signal(signal.SIGTERM, _leave)
    # The fork server has it blocked; one that came before this moment arrives now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    die_with_parent()
    sys.exit(_outcome(entry, assignment, settings, paths, *more))


def resolve(entry: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names."""
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def die_with_parent() -> None:
    """Have this process end as soon as the one that started it is gone.

    The sentinel is a pipe that only the parent holds open, so this also works
    below a fork server, where the kernel's parent is another process.
    """
    parent = parent_process()
    if parent is None:
        return
    threading.Thread(target=_watch, args=(parent.sentinel,), name="parent", daemon=True).start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(Exit.TEMPORARY)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(Exit.OK)


def _outcome(entry: str, *arguments: object) -> int:
    log = logs.logger()
    try:
        resolve(entry)(*arguments)
    except (MistError, ImportError, SyntaxError) as error:
        known = error if isinstance(error, MistError) else BrokenInstallation(entry, str(error))
        log.error("cannot go on", reason=str(known))
        return known.exit_status
    except Exception:
        log.exception("crashed")
        return Exit.FAILURE
    return Exit.OK


def _name(name: str) -> None:
    """Show in ``ps`` and ``top`` which child this is."""
    with suppress(OSError):
        _COMM.write_text(f"mist {name}"[:15])


@contextmanager
def for_this_user_alone() -> Iterator[None]:
    """Keep sockets that are made meanwhile from everybody else, until their modes are set."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
