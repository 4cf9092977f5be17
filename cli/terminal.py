"""Terminal output of the commands that follow a stream, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
import msgspec
import zmq

from mist.visible import coloured, plain_json, visible

if TYPE_CHECKING:
    from rich.text import Text

# The exit status that shells report for a process killed by SIGINT.
INTERRUPTED: Final = 130

# The file descriptor of standard output; followers notice when its reader goes away.
STDOUT: Final = 1


@contextmanager
def quiet_ending() -> Iterator[None]:
    """Exit silently on Ctrl-C, and when the reader of standard output has gone."""
    try:
        yield
        sys.stdout.flush()  # here, so that a broken pipe is noticed inside the try
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
        context.destroy(linger=0)  # term() would wait until every message is sent


def write_line(line: str) -> None:
    """Buffer a log line for standard output; ``flush`` writes it.

    On a terminal colours are kept, and all other control sequences are made visible.  A
    file or a pipe receives the line unchanged.
    """
    text = coloured(line) if sys.stdout.isatty() else line
    sys.stdout.buffer.write(text.encode() + b"\n")


def write_error_line(line: str) -> None:
    """Write a log line to standard error, after flushing standard output to keep the order."""
    flush()
    text = coloured(line) if sys.stderr.isatty() else line
    sys.stderr.buffer.write(text.encode() + b"\n")
    sys.stderr.buffer.flush()


def write_json(data: object) -> None:
    """Write one line of JSON to standard output and flush it.

    ``data`` of type bytes is already JSON.  Control characters are escaped.
    """
    encoded = data if isinstance(data, bytes) else msgspec.json.encode(data)
    sys.stdout.buffer.write(plain_json(encoded) + b"\n")
    flush()


def say(text: str = "", *, error: bool = False) -> None:
    """Print a message of a command, with control characters in it made visible."""
    click.echo(visible(text, lines=True), err=error)


def show_table(headings: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> None:
    """Print a table; cells are data, never markup."""
    # `mist up` imports this module, too, and would keep rich in memory for its lifetime.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None)
    for row in rows:
        table.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in row))
    Console().print(table)


def flush() -> None:
    """Write buffered lines to standard output."""
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Print a message about the stream on standard error."""
    flush()
    print(visible(text), file=sys.stderr, flush=True)


def human(number: float) -> str:
    """Format a number of bytes with at most four digits: ``4.0 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.1f} {unit}" if unit != "B" else f"{number:.0f} B"
        number /= 1024
    return f"{number:.1f} TiB"
