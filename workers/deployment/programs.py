"""Run the programs of a deployment: each in a process group that ends with its block."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from workers.deployment.cancellation import SLICE

_RECEIVE_BYTES: Final = 65_536
# Look whether a process has ended, without reaping it.
_ENDED: Final = os.WEXITED | os.WNOWAIT | os.WNOHANG


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
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
