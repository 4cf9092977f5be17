"""``mist logs``: an application's container log in the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

import click
from msgspec import structs

from bus import topics
from bus.follower import Follower, Item
from bus.reorder import Gap
from bus.stream_state import StreamState
from bus.wire import STATES, Kind, Message
from cli import terminal
from cli.remote.choice import chosen_service, remotely
from cli.state import opened_store
from mist import close_codes, messages
from mist.apps import management
from mist.errors import BusError, Exit
from mist.log_range import After, LinePosition, LogRange, log_range
from mist.paths import resolve_paths
from mist.settings import Settings, load_settings

# The engine's states in which a container writes nothing, so that its stream is about to end.
_STILL: Final = frozenset({"created", "exited", "dead", "removing"})


@click.command("logs")
@click.argument("app")
@click.option("--tail", metavar="N", help="Begin with the last N lines [100].")
@click.option("--since", metavar="TIME", help="Begin after this RFC 3339 time.")
@click.option("--stopped", is_flag=True, help="Show the last lines of a container that stopped.")
@click.option("--timestamps", is_flag=True, help="Put the engine's time before each line.")
@remotely
def command(app: str, tail: str | None, since: str | None, stopped: bool, timestamps: bool) -> None:
    """Follow the container log of APP (its name or id) until it ends.

    Lines go to the stream that the container wrote them to, standard output or
    standard error.  Notes about the stream go to standard error.
    """
    if (service := chosen_service()) is not None:
        from cli.remote import logs  # noqa: PLC0415

        asked = {"tail": tail, "since": since, "stopped": int(stopped)}
        with terminal.quiet_ending():
            raise SystemExit(logs.show(service, app, timestamps, **asked))
    with terminal.quiet_ending(), terminal.bus_context() as context:
        paths, settings = resolve_paths(), load_settings()
        lines = log_range(tail, since, settings.streams.tail_lines, prefix="--")
        wanted = Wanted(lines, settings.replay.lines, stopped)
        with opened_store() as store:
            topic = topics.container_log(management.find_app(store, app).id)
        # Closing the follower ends the demand, so the collector may stop.
        with Follower(context, paths, settings, topic, terminal.STDOUT) as follower:
            status = follow(follower, settings, wanted, Printer(timestamps))
    raise SystemExit(status)


class Wanted:
    """The part of a log's beginning to print, without I/O.

    Give the arriving messages to ``hold`` until the beginning is complete.  Then print the
    messages of ``beginning``.  Lines of a container that is not running are shown only
    with ``stopped``.  ``reach`` is the setting ``replay.lines``.
    """

    def __init__(self, lines: LogRange, reach: int, stopped: bool = False) -> None:
        self._lines = lines
        self._reach = reach
        self._stopped = stopped
        self._held: list[Message] = []
        self._first = 0  # the first number
        self._engine_state = ""
        self._stream = StreamState()

    def hold(self, items: Iterable[Item]) -> bool:
        """Take what arrived.  Return True once the beginning is complete.

        It is complete when the stream is over or the history is complete.
        """
        for message in items:
            if isinstance(message, Message):
                self._hold(message)
        if not self._held:
            return False
        # The collector of a container that is not running has yet to send the error about it.
        running = self._stream.complete and self._engine_state not in _STILL
        return running or self._held[-1].header.final

    def _hold(self, message: Message) -> None:
        self._stream.take(message.header)
        if not message.header.apart:
            self._first = self._first or message.header.seq
        if message.body:  # READY has none
            self._held.append(message)
        if message.header.kind in STATES:
            self._engine_state = messages.read_status(message.body).state

    def beginning(self) -> list[Item]:
        """Return the status, the last lines, and the message that ended the stream, if any."""
        # The newest status is enough: the container may have changed its state in between.
        statuses = [held for held in self._held if held.header.kind in STATES]
        last = self._held[-1]
        ended = [last] if last.header.final else []
        status = [_as_news(newest) for newest in statuses[-1:]]
        return [*status, *self._tail(ended), *ended]

    def _tail(self, ended: list[Message]) -> list[Item]:
        refused = bool(ended) and ended[0].header.kind is Kind.ERROR
        if refused and not self._stopped:
            return []
        logs = HeldLog([held for held in self._held if held.header.kind is Kind.LOG])
        # With fewer lines than the collector reads at most, and from number 1 on, the log
        # has no older lines, so none can be reported as skipped.
        complete = logs.lines < self._reach and self._first == 1
        chosen = self._lines.choose(logs, self._reach)
        skipped = chosen.skipped(complete=complete)
        notice: list[Item] = [Gap(skipped)] if skipped else []
        # _last yields the newest first.
        return notice + [*logs.last(chosen.lines)][::-1]


def _as_news(status: Message) -> Message:
    """Return a status for a reader who has just come, to whom any state is news."""
    return status._replace(header=structs.replace(status.header, kind=Kind.STATUS))


class HeldLog:
    """The lines in the messages of a log."""

    def __init__(self, logs: list[Message]) -> None:
        self._logs = logs
        self.lines = sum(message.header.count for message in logs)

    def timestamps(self) -> Iterator[str]:
        """Yield the times of the lines, the newest first."""
        for message in reversed(self._logs):
            for line in reversed(message.body.split(b"\n")):
                yield messages.log_timestamp(line)

    def after(self, position: LinePosition) -> After:
        """Count the lines after the line with this position."""
        lines = 0
        for header in (message.header for message in reversed(self._logs)):
            if header.epoch == position.epoch and header.seq <= position.seq:
                return After(lines + max(0, header.last - position.seq))
            lines += header.count
        return After(lines, None)

    def last(self, missing: int) -> Iterator[Message]:
        """Yield messages with the last ``missing`` lines, the newest first."""
        for message in reversed(self._logs):
            if missing <= 0:
                return
            lines = message.body.split(b"\n")[-missing:]
            missing -= len(lines)
            yield message._replace(body=b"\n".join(lines))


class Printer:
    """Print messages for a human reader."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self.final: int | None = None
        """The exit status, once the stream is over."""

    def show(self, item: Item) -> None:
        """Print one message, or the number of lost lines."""
        if isinstance(item, Gap):
            terminal.note(f"mist: {messages.skipped_text(item.lost, item.reason)}")
        elif item.header.kind is Kind.LOG:
            self._lines(item.body)
        elif item.header.kind is Kind.STATUS:
            self._status(item.body)
        elif item.header.kind is Kind.SKIPPED:
            terminal.note(f"mist: {messages.read_text(item.body)}")
        elif item.header.kind in {Kind.END, Kind.ERROR}:
            self._notice(item)

    def _lines(self, body: bytes) -> None:
        for record in body.split(b"\n"):
            message = messages.read_log(record)
            text = message.data.line
            if self._timestamps:
                text = f"{message.timestamp} {text}"
            if message.data.stream == "stderr":
                terminal.write_error_line(text)
            else:
                terminal.write_line(text)

    def _status(self, body: bytes) -> None:
        data = messages.read_status(body)
        terminal.note(f"mist: {data.container} is {data.state} ({data.status})")

    def _notice(self, message: Message) -> None:
        terminal.note(f"mist: {messages.read_text(message.body)}")
        header = message.header
        if header.kind is Kind.END:
            self.final = Exit.OK
        elif header.code:
            # An error without a code does not end the stream (bus/wire.py).
            self.final = (
                Exit.UNAVAILABLE if header.code == close_codes.TRY_AGAIN_LATER else Exit.FAILURE
            )


def follow(follower: Follower, settings: Settings, wanted: Wanted, printer: Printer) -> int:
    """Print a log until it ends, and return the exit status."""
    patience = time.monotonic() + settings.streams.start_seconds
    while not wanted.hold(follower.take(max(0.0, patience - time.monotonic()))):
        if time.monotonic() >= patience:
            raise BusError("no collector sends this log; run `mist status` to see why")
    _show(printer, wanted.beginning())
    while printer.final is None:
        # Any timeout will do: the follower waits again, also for a broker that is away.
        _show(printer, follower.take(60.0))
    return printer.final


def _show(printer: Printer, items: Iterable[Item]) -> None:
    for item in items:
        printer.show(item)
        if printer.final is not None:
            break
    # Once per batch, so that a flood costs few system calls.
    terminal.flush()
