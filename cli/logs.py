"""``mist logs``: an application's container log in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final

import click
import msgspec

from bus import topics
from bus.follower import Follower, Item
from bus.reorder import Gap
from bus.wire import Kind, Message
from cli import terminal
from cli.state import opened_store
from mist import clock
from mist.apps import management
from mist.errors import BusError, Exit, UsageError
from mist.messages import ContainerStatus
from mist.paths import resolve_paths
from mist.settings import Settings, load_settings

#: States of a container in which it writes nothing; its stream is about to end.
_STILL: Final = frozenset({"created", "exited", "dead", "removing"})

_UNAVAILABLE: Final = 1013


class _Line(msgspec.Struct, frozen=True):
    line: str
    stream: str = "stdout"


class _LogMessage(msgspec.Struct, frozen=True):
    timestamp: str
    data: _Line


class _StatusMessage(msgspec.Struct, frozen=True):
    data: ContainerStatus


class _Words(msgspec.Struct, frozen=True):
    message: str


class _Notice(msgspec.Struct, frozen=True):
    data: _Words


_log = msgspec.json.Decoder(_LogMessage)
_status = msgspec.json.Decoder(_StatusMessage)
_notice = msgspec.json.Decoder(_Notice)


@click.command("logs")
@click.argument("app")
@click.option("--tail", type=click.IntRange(min=0), help="Begin with the last N lines [100].")
@click.option("--since", metavar="TIME", default="", help="Begin after this RFC 3339 time.")
@click.option("--stopped", is_flag=True, help="Show the last lines of a container that stopped.")
@click.option("--timestamps", is_flag=True, help="Put the engine's time before each line.")
def command(app: str, tail: int | None, since: str, stopped: bool, timestamps: bool) -> None:
    """Follow the container log of APP (its name or id) until it ends.

    Lines go where the container wrote them, to standard output or standard
    error; what is said about the stream goes to standard error.
    """
    with terminal.quiet_ending(), terminal.bus_context() as context:
        paths, settings = resolve_paths(), load_settings()
        wanted = Wanted(_lines(tail, since, settings), _time(since), stopped)
        with opened_store() as store:
            topic = topics.container_log(management.find_app(store, app).id)
        with Follower(context, paths, settings, topic, terminal.STDOUT) as follower:
            status = follow(follower, settings, wanted, Printer(timestamps))
    raise SystemExit(status)


def _time(since: str) -> str:
    try:
        return clock.normalize(since) if since else ""
    except ValueError as error:
        raise UsageError(f"--since: {error}") from None


def _lines(tail: int | None, since: str, settings: Settings) -> int:
    """How many lines to begin with; with ``--since`` that is all there are."""
    if tail is not None:
        return tail
    return sys.maxsize if since else settings.streams.tail_lines


class Wanted:
    """Which part of a log's beginning is printed, without I/O.

    ``hold`` takes what arrives until it is known how the stream begins; then
    ``beginning`` are the messages to print first.  A container that does not run
    shows its lines only with ``stopped``.
    """

    def __init__(self, lines: int, since: str = "", stopped: bool = False) -> None:
        self._lines = lines
        self._since = since
        self._stopped = stopped
        self._held: list[Message] = []
        self._state = ""
        self._caught_up = False

    def hold(self, items: Iterable[Item]) -> bool:
        """Take what arrived; whether the beginning is complete.

        It is when the stream is over, or the history is: by a word to that effect,
        or by a line that is none.  A container that does not run still owes the
        error that says so.
        """
        for message in items:
            if isinstance(message, Message):
                self._hold(message)
        if not self._held:
            return False
        running = self._caught_up and self._state not in _STILL
        return running or self._held[-1].header.final

    def _hold(self, message: Message) -> None:
        kind = message.header.kind
        if message.body:
            self._held.append(message)
        if kind is Kind.STATUS:
            self._state = _status.decode(message.body).data.state
        live = kind is Kind.LOG and not message.header.history
        self._caught_up = self._caught_up or live or kind is Kind.READY

    def beginning(self) -> list[Message]:
        """Status, then the last lines, then how it ended if it did."""
        statuses = [held for held in self._held if held.header.kind is Kind.STATUS]
        last = self._held[-1]
        ended = [last] if last.header.final else []
        return [*statuses[-1:], *self._tail(ended), *ended]

    def _tail(self, ended: list[Message]) -> list[Message]:
        refused = bool(ended) and ended[0].header.kind is Kind.ERROR
        if refused and not self._stopped:
            return []
        logs = [held for held in self._held if held.header.kind is Kind.LOG]
        kept: list[Message] = []
        missing = self._lines
        for message in reversed(logs):
            if missing <= 0:
                break
            lines = [line for line in message.body.split(b"\n") if self._is_new(line)][-missing:]
            missing -= len(lines)
            kept.append(message._replace(body=b"\n".join(lines)))
        return [message for message in reversed(kept) if message.body]

    def _is_new(self, line: bytes) -> bool:
        return not self._since or _log.decode(line).timestamp > self._since


class Printer:
    """Writes messages for people; ``final`` is the exit status once the stream is over."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self.final: int | None = None

    def show(self, item: Item) -> None:
        """Print one message, or how many are lost."""
        if isinstance(item, Gap):
            terminal.note(f"mist: {item.lost} messages are lost")
        elif item.header.kind is Kind.LOG:
            self._lines(item.body)
        elif item.header.kind is Kind.STATUS:
            self._status(item.body)
        elif item.header.kind in {Kind.END, Kind.ERROR}:
            self._notice(item)

    def _lines(self, body: bytes) -> None:
        for record in body.split(b"\n"):
            message = _log.decode(record)
            text = message.data.line
            if self._timestamps:
                text = f"{message.timestamp} {text}"
            encoded = text.encode()
            if message.data.stream == "stderr":
                terminal.write_error(encoded)
            else:
                terminal.write(encoded)

    def _status(self, body: bytes) -> None:
        data = _status.decode(body).data
        terminal.note(f"mist: {data.container} is {data.state} ({data.status})")

    def _notice(self, message: Message) -> None:
        terminal.note(f"mist: {_notice.decode(message.body).data.message}")
        header = message.header
        if header.kind is Kind.END:
            self.final = Exit.OK
        elif header.code:
            self.final = Exit.UNAVAILABLE if header.code == _UNAVAILABLE else Exit.FAILURE


def follow(follower: Follower, settings: Settings, wanted: Wanted, printer: Printer) -> int:
    """Print a log until it ends, and return the exit status."""
    patience = time.monotonic() + settings.streams.start_seconds
    while not wanted.hold(follower.take(max(0.0, patience - time.monotonic()))):
        if time.monotonic() >= patience:
            raise BusError("no collector sends this log; `mist status` may tell why")
    _show(printer, wanted.beginning())
    while printer.final is None:
        _show(printer, follower.take(60.0))
    return printer.final


def _show(printer: Printer, items: Iterable[Item]) -> None:
    for item in items:
        printer.show(item)
        if printer.final is not None:
            break
    terminal.flush()
