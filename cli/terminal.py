"""How the commands that follow something treat the terminal, and end."""

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

#: What shells report of a process that ended by SIGINT.
INTERRUPTED: Final = 130

#: The descriptor of standard output, which a follower watches.
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


def write_line(line: str) -> None:
    """Write a line of a log to standard output, which it reaches at ``flush``.

    A terminal gets its colours, and everything else that it would obey made visible;
    a file or a pipe gets the line as it is.
    """
    text = coloured(line) if sys.stdout.isatty() else line
    sys.stdout.buffer.write(text.encode() + b"\n")


def write_error_line(line: str) -> None:
    """Write a line of a log to standard error, in the order in which a terminal shows both."""
    flush()
    text = coloured(line) if sys.stderr.isatty() else line
    sys.stderr.buffer.write(text.encode() + b"\n")
    sys.stderr.buffer.flush()


def write_json(data: object) -> None:
    """Write one line of JSON to standard output, at once.

    Bytes are JSON already.  Whatever a terminal would obey is escaped.
    """
    encoded = data if isinstance(data, bytes) else msgspec.json.encode(data)
    sys.stdout.buffer.write(plain_json(encoded) + b"\n")
    flush()


def say(text: str = "", *, error: bool = False) -> None:
    """Print what a command has to say; names in it cannot give the terminal orders."""
    click.echo(visible(text, lines=True), err=error)


def show_table(headings: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> None:
    """Print a table; a cell is data and never markup."""
    # `mist up` uses this module too, and would keep rich in its memory for good.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None)
    for row in rows:
        table.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in row))
    Console().print(table)


def flush() -> None:
    """Hand what was written to whoever reads it."""
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Say something about the stream, beside it: on standard error."""
    flush()
    print(visible(text), file=sys.stderr, flush=True)
