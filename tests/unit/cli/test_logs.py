"""Tests of which lines ``mist logs`` starts with, and of where they are printed."""

from __future__ import annotations

from itertools import count

import pytest
from msgspec import structs

from bus.follower import Item
from bus.reorder import Gap
from bus.wire import Flag, Header, Kind, Message
from cli.log_beginning import Wanted
from cli.log_printer import Printer
from mist import messages
from mist.errors import Exit
from mist.messages import ContainerStatus

_numbers = count(1)


def message(kind: Kind, body: bytes = b"", *, history: bool = False, code: int = 0) -> Message:
    """Return a message of the topic with the next number."""
    flags = Flag.HISTORY if history else Flag(0)
    lines = body.count(b"\n") + 1
    return Message(b"t", Header(kind, 1, 1, next(_numbers), lines, flags, code), body)


def log(*texts: str, history: bool = True, stream: messages.Stream = "stdout") -> Message:
    """Return a message of log lines; the text ``5`` has the time of second 5."""
    records = [messages.log(stamp(text), text, stream) for text in texts]
    return message(Kind.LOG, b"\n".join(records), history=history)


def stamp(text: str) -> str:
    """Return the time stamp of the line ``text``."""
    return f"2025-01-15T10:30:{int(text):02d}.000000000Z"


def status(state: str) -> Message:
    """Return a container's status."""
    return message(Kind.STATUS, messages.status(ContainerStatus("web", state, "Up")), history=True)


READY = message(Kind.READY)
END = message(Kind.END, messages.end(), code=1000)
STILL = message(Kind.ERROR, messages.error("Container is not running"), code=4409)


def begun(wanted: Wanted) -> list[str]:
    """Return the kinds of the first messages, and the lines of log messages."""
    printed = []
    for found in wanted.beginning():
        if found.header.kind is Kind.LOG:
            printed += [text[text.index(b'"line":"') + 8 :][:1] for text in found.body.split(b"\n")]
        else:
            printed.append(found.header.kind.name.encode())
    return [text.decode() for text in printed]


def test_beginning_is_the_status_and_the_last_lines() -> None:
    """Nothing is printed until the history is complete; then its status and last lines are."""
    wanted = Wanted(2)
    assert not wanted.hold([status("running"), log("1", "2"), log("3")])
    assert wanted.hold([READY])
    assert begun(wanted) == ["STATUS", "2", "3"]


def test_no_lines() -> None:
    """A tail of 0 starts with the next line."""
    wanted = Wanted(0)
    assert wanted.hold([status("running"), log("1"), READY])
    assert begun(wanted) == ["STATUS"]


def test_live_line_tells_that_the_history_is_complete() -> None:
    """A live line completes the history, because a busy container's READY may be dropped."""
    assert Wanted(1).hold([log("1"), log("2", history=False)])


def test_live_status_tells_that_the_history_is_complete() -> None:
    """A live status completes the history: a small buffer may hold nothing else."""
    body = messages.status(ContainerStatus("web", "running", "Up"))
    assert Wanted(100).hold([message(Kind.STATUS, body)])


def test_status_that_was_kept_apart_comes_first() -> None:
    """The newest status is shown although lines pushed it out."""
    wanted = Wanted(100)
    old = status("paused")
    apart = old._replace(header=structs.replace(old.header, seq=1, flags=Flag.APART))
    assert not wanted.hold([apart])
    assert wanted.hold([log("5", "6", history=False)])
    assert begun(wanted) == ["STATUS", "5", "6"]


def test_stopped_container_is_waited_out() -> None:
    """A stopped container's history is complete, but its error is still to come."""
    wanted = Wanted(100)
    assert not wanted.hold([status("exited"), log("1"), READY])
    assert wanted.hold([STILL])
    assert begun(wanted) == ["STATUS", "ERROR"]


def test_stopped_container_shows_its_lines_when_asked() -> None:
    """A stopped container's last lines are printed before the error if asked for."""
    wanted = Wanted(100, stopped=True)
    assert wanted.hold([status("exited"), log("1"), STILL, READY])
    assert begun(wanted) == ["STATUS", "1", "ERROR"]


def test_container_that_came_back() -> None:
    """An end that is followed by other messages is ignored."""
    wanted = Wanted(100)
    assert wanted.hold([status("running"), log("1"), READY, END, status("running"), log("2")])
    assert begun(wanted) == ["STATUS", "1", "2"]


def test_ended_stream_shows_its_lines() -> None:
    """A stream that has just ended is printed with its end."""
    wanted = Wanted(100)
    assert wanted.hold([status("running"), log("1"), READY, END])
    assert begun(wanted) == ["STATUS", "1", "END"]


def test_printer_parts_the_streams(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Lines go to the stream that the container wrote to; notes go to standard error."""
    printer = Printer(timestamps=False)
    items: list[Item] = [status("running"), log("1"), log("2", stream="stderr"), Gap(3)]
    for item in items:
        printer.show(item)
    out, err = capfdbinary.readouterr()
    assert out == b"1\n"
    assert err.splitlines() == [
        b"mist: web is running (Up)",
        b"2",
        b"mist: 3 lines skipped: connection too slow",
    ]
    assert printer.final is None


def test_printer_tells_of_lines_that_the_source_has_lost(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """What the collector could not read is a note on standard error."""
    body = messages.skipped(messages.UNKNOWN, "rotated")
    Printer(timestamps=False).show(Message(b"t", Header(Kind.SKIPPED, 1, 1, 1), body))
    text = b"An unknown number of lines skipped: rotated away before they were read"
    assert capfdbinary.readouterr().err == b"mist: " + text + b"\n"


def test_printer_puts_the_time_before_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The engine's time stamp is printed unchanged before each line."""
    printer = Printer(timestamps=True)
    printer.show(log("1"))
    printer.show(END)
    assert capfdbinary.readouterr().out == f"{stamp('1')} 1\n".encode()


HOSTILE = "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\x9b6n\u202egnp.exe"


def test_a_terminal_gets_colours_and_nothing_else_to_obey(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal only colours pass, in lines as in statuses."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    printer = Printer(timestamps=False)
    for stream in ("stdout", "stderr"):
        printer.show(message(Kind.LOG, messages.log(stamp("1"), HOSTILE, stream)))
    name = ContainerStatus("web\x1b]0;x\x07", "running", "Up\x9b")
    printer.show(message(Kind.STATUS, messages.status(name)))
    out, err = capfdbinary.readouterr()
    shown = "\x1b[31mred\x1b[0m \\x1b]52;c;aGk=\\x07\\x9b6n\\u202egnp.exe\x1b[0m\n"
    assert out.decode() == shown
    assert err.decode() == shown + "mist: web\\x1b]0;x\\x07 is running (Up\\x9b)\n"


def test_a_file_gets_lines_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """In a file, lines are unchanged."""
    Printer(timestamps=False).show(message(Kind.LOG, messages.log(stamp("1"), HOSTILE, "stdout")))
    assert capfdbinary.readouterr().out.decode() == f"{HOSTILE}\n"


@pytest.mark.parametrize(
    ("kind", "code", "final"),
    [
        (Kind.END, 1000, Exit.OK),
        (Kind.ERROR, 4404, Exit.FAILURE),
        (Kind.ERROR, 1013, Exit.UNAVAILABLE),
        (Kind.ERROR, 0, None),
    ],
)
def test_exit_status_says_how_it_ended(kind: Kind, code: int, final: Exit | None) -> None:
    """The exit status tells how the stream ended; an error without a close code is not an end."""
    printer = Printer(timestamps=False)
    printer.show(message(kind, messages.error("words"), code=code))
    assert printer.final == final


def test_names_before_the_lines(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name has a column, and on a terminal a colour of its own that no other run changes."""
    printer = Printer(timestamps=False, name="web", width=6)
    printer.show(log("1"))
    printer.show(END)
    out, err = capfdbinary.readouterr()
    assert (out, err) == (b"web    | 1\n", b"mist: web: Log stream ended\n")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name in ("web", "web", "db"):
        Printer(timestamps=False, name=name, width=3).show(log("1"))
    lines = capfdbinary.readouterr().out.splitlines()
    assert lines[0] == lines[1]
    colours = [line.partition(b"m")[0] for line in lines]
    assert colours[0] != colours[2]
    assert lines[2] == colours[2] + b"mdb  | \x1b[0m1"
    monkeypatch.setenv("NO_COLOR", "1")
    Printer(timestamps=False, name="w\x1b]0;x\x07", width=3).show(log("1"))
    assert capfdbinary.readouterr().out == b"w\\x1b]0;x\\x07 | 1\n"
