"""Terminal output of the commands that follow a stream, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import zmq

# The exit status that shells report for a process killed by SIGINT.
INTERRUPTED: Final = 130

# The file descriptor of standard output; followers notice when its reader goes away.
STDOUT: Final = 1


@contextmanager
def quiet_ending() -> Iterator[None]:
    """Exit silently on Ctrl-C, and when the reader of standard output has gone."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python would flush its buffer at exit and fail again, so discard the data.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        raise SystemExit(0) from None


@contextmanager
def bus_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """Yield a ZeroMQ context, and close it without waiting for queued messages."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


def write(line: bytes) -> None:
    """Buffer a line for standard output; ``flush`` writes it."""
    sys.stdout.buffer.write(line + b"\n")


def write_error(line: bytes) -> None:
    """Write a line to standard error, after flushing standard output to keep the order."""
    flush()
    sys.stderr.buffer.write(line + b"\n")
    sys.stderr.buffer.flush()


def flush() -> None:
    """Write buffered lines to standard output."""
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Print a message about the stream on standard error."""
    flush()
    print(text, file=sys.stderr, flush=True)
