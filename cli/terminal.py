"""How the commands that follow something treat the terminal, and end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import zmq

# What shells report of a process that ended by SIGINT.
INTERRUPTED: Final = 130

# The descriptor of standard output, which a follower watches.
STDOUT: Final = 1


@contextmanager
def quiet_ending() -> Iterator[None]:
    """End without a word when the user presses Ctrl-C or the reader of the output is gone."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # What Python still holds for the pipe would fail once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        raise SystemExit(0) from None


@contextmanager
def bus_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A ZeroMQ context that ends with the block, whatever is still queued."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


def write(line: bytes) -> None:
    """Put bytes and a newline on standard output, which they reach at ``flush``."""
    sys.stdout.buffer.write(line + b"\n")


def write_error(line: bytes) -> None:
    """The same on standard error, in the order in which a terminal shows both."""
    flush()
    sys.stderr.buffer.write(line + b"\n")
    sys.stderr.buffer.flush()


def flush() -> None:
    """Hand what was written to whoever reads it."""
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Say something about the stream, beside it: on standard error."""
    flush()
    print(text, file=sys.stderr, flush=True)
