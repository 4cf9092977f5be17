"""Run the programs of a deployment: each in a process group that ends with its block.

The group also ends with its runner, however that one ends.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from workers.deployment.cancellation import SLICE

_RECEIVE_BYTES: Final = 65_536
# Look whether a process has ended, without reaping it.
_ENDED: Final = os.WEXITED | os.WNOWAIT | os.WNOHANG


# Starts a program with a guard, which is in the program's process group and kills it when the
# runner's end of the pipe closes.  PR_SET_PDEATHSIG (prctl(2)) would reach only the program,
# and not its helpers.  A limit that is already lower stays.
_GUARDED: Final = """
(read -r _ <"/proc/self/fd/$1"; kill -KILL 0) </dev/null >/dev/null 2>&1 &
[ -z "$2" ] || ulimit -S -d "$2" 2>/dev/null
shift 2
exec "$@"
"""


@contextmanager
def running(  # noqa: PLR0913 - each is an option of Popen
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.STDOUT,
    memory_bytes: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block; raise FileNotFoundError if there is none.

    Its process group ends with the block, or with this process.
    """
    if shutil.which(arguments[0]) is None:
        raise FileNotFoundError(arguments[0])
    kilobytes = "" if memory_bytes is None else str(memory_bytes // 1024)
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - the shell's text is ours, and expands nothing
            ["/bin/sh", "-c", _GUARDED, "sh", str(read_end), kilobytes, *arguments],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=[read_end],
            start_new_session=True,  # the program's helpers are in its process group
            umask=0o077,
        )
        with _ending(process):
            yield process
    finally:
        os.close(read_end)
        os.close(write_end)


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process group of ``process``, which leads it, with the block; then reap it."""
    with process:
        try:
            yield
        finally:
            # Before wait() reaps the leader, so that the pid cannot have been reused.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def pump(
    process: subprocess.Popen[bytes],
    check: Callable[[], object],
    on_output: Callable[[bytes], object],
) -> None:
    """Pass the output on until it ends, and wait for the process without reaping it.

    ``check`` is called at least once per slice and may raise.
    """
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    while True:
        check()
        if not select.select([pipe], [], [], SLICE)[0]:
            continue
        data = os.read(pipe, _RECEIVE_BYTES)
        if not data:
            break
        on_output(data)
    # The pipe ends when all writers have closed it, which may be before the leader's exit.
    while os.waitid(os.P_PID, process.pid, _ENDED) is None:
        check()
        time.sleep(0.01)
