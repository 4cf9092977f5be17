"""Terminal output of the commands that follow a stream, and how they end."""

from __future__ import annotations

import os
import select
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

import click
import msgspec
import zmq

from mist.errors import Exit
from mist.visible import RESET, coloured, plain_json, visible

if TYPE_CHECKING:
    from rich.text import Text

# The foreground colours of labels (ECMA-48, 8.3.117), without black, white and red, which
# looks like an error.
_COLOURS: Final = (32, 33, 34, 35, 36, 92, 93, 94, 95, 96)

# The file descriptor of standard output; followers notice when its reader goes away.
STDOUT: Final = 1


@contextmanager
def quiet_ending() -> Iterator[None]:
    """Exit silently on Ctrl-C, and when the reader of standard output has gone."""
    try:
        yield
        sys.stdout.flush()  # here, so that a broken pipe is noticed inside the try
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
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


class Label:
    """The name of a log in front of its lines, in a colour that depends on the name alone."""

    def __init__(self, name: str, width: int) -> None:
        self._plain = f"{visible(name):{width}} | "
        colour = _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
        self._coloured = f"\x1b[{colour}m{self._plain}{RESET}"

    def on(self, stream: TextIO) -> str:
        """Return the text for a terminal, or for a file."""
        return self._coloured if stream.isatty() and "NO_COLOR" not in os.environ else self._plain


def write_line(line: str, label: Label | None = None) -> None:
    """Buffer a log line for standard output; ``flush`` writes it.

    On a terminal colours are kept, and all other control sequences are made visible.  A
    file or a pipe receives the line unchanged.
    """
    sys.stdout.buffer.write(_shown(line, label, sys.stdout))


def write_error_line(line: str, label: Label | None = None) -> None:
    """Write a log line to standard error, after flushing standard output to keep the order."""
    flush()
    sys.stderr.buffer.write(_shown(line, label, sys.stderr))
    sys.stderr.buffer.flush()


def _shown(line: str, label: Label | None, stream: TextIO) -> bytes:
    text = coloured(line) if stream.isatty() else line
    return (f"{label.on(stream) if label else ''}{text}\n").encode()


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


def confirmed(question: str) -> bool:
    """Ask a question; return False if standard input has ended, so that nobody can answer."""
    try:
        return click.confirm(visible(question))
    except click.Abort as aborted:
        say()
        if was_interrupted(aborted):
            raise
        return False


def was_interrupted(aborted: click.Abort) -> bool:
    """Return True if Ctrl-C ended a question, and not the end of standard input."""
    return isinstance(aborted.__context__, KeyboardInterrupt)


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


def end_if_unread() -> None:
    """Raise BrokenPipeError if standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    if poll.poll(0):  # POLLERR, see poll(2)
        raise BrokenPipeError


def note(text: str) -> None:
    """Print a message about the stream on standard error."""
    flush()
    print(visible(text), file=sys.stderr, flush=True)
