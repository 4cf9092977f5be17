"""Print the lines of a log, and notes about it, for a human reader."""

from __future__ import annotations

from bus.reorder import Gap
from bus.wire import Kind, Message
from cli import terminal
from cli.log_source import Entry, Note
from mist import close_codes, messages
from mist.errors import Exit
from mist.messages import LogMessage


class Printer:
    """Print the messages of one log; with a ``name``, if there are several.

    The name is padded to ``width``.
    """

    def __init__(self, timestamps: bool, name: str = "", width: int = 0) -> None:
        self.final: int | None = None
        """The exit status, once the stream is over."""
        self._timestamps = timestamps
        self._label = terminal.Label(name, width) if name else None
        self._prefix = f"mist: {name}: " if name else "mist: "

    def show(self, entry: Entry) -> None:
        """Print one line, message or note, or the number of lost lines."""
        if isinstance(entry, LogMessage):
            self._line(entry)
        elif isinstance(entry, Gap):
            self._note(messages.skipped_text(entry.lost, entry.reason))
        elif isinstance(entry, Note):
            if entry.text:
                self._note(entry.text)
            self.final = entry.final if self.final is None else self.final
        elif entry.header.kind is Kind.LOG:
            for record in entry.body.split(b"\n"):
                self._line(messages.read_log(record))
        elif entry.header.kind is Kind.STATUS:
            self._status(entry.body)
        elif entry.header.kind is Kind.SKIPPED:
            self._note(messages.read_text(entry.body))
        elif entry.header.kind in {Kind.END, Kind.ERROR}:
            self._notice(entry)

    def _line(self, message: LogMessage) -> None:
        text = message.data.line
        if self._timestamps:
            text = f"{message.timestamp} {text}"
        if message.data.stream == "stderr":
            terminal.write_error_line(text, self._label)
        else:
            terminal.write_line(text, self._label)

    def _status(self, body: bytes) -> None:
        data = messages.read_status(body)
        self._note(f"{data.container} is {data.state} ({data.status})")

    def _notice(self, message: Message) -> None:
        self._note(messages.read_text(message.body))
        header = message.header
        if header.kind is Kind.END:
            self.final = Exit.OK
        elif header.code:
            # An error without a code does not end the stream (bus/wire.py).
            self.final = (
                Exit.UNAVAILABLE if header.code == close_codes.TRY_AGAIN_LATER else Exit.FAILURE
            )

    def _note(self, text: str) -> None:
        terminal.note(self._prefix + text)
