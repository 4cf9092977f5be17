"""Tests of the seam between older and live lines, and of several logs as one."""

from __future__ import annotations

from itertools import count
from typing import cast

import pytest
import zmq

from bus.follower import Follower, Item
from bus.wire import Flag, Header, Kind, Message
from cli import log_source, logs
from cli.log_merge import Input, Merger
from cli.log_printer import Printer
from cli.log_reader import BrokenOff, LogReader
from cli.log_source import Source
from cli.logs import Options
from mist import messages
from mist.errors import EngineError, UsageError
from mist.messages import ContainerStatus, LogMessage
from mist.read_request import ReadRequest
from mist.settings import Settings

SETTINGS = Settings()
NOTHING = Options(None, None, None, None, False, False, False, None, False, False)
_numbers = count(1)


def stamp(number: int) -> str:
    """Return the time of the line with this number."""
    return f"2025-01-15T10:{number // 60:02d}:{number % 60:02d}.000000000Z"


def line(number: int, text: str = "") -> LogMessage:
    """Return a line with this number as its text."""
    body = messages.log(stamp(number), text or str(number), "stdout")
    return messages.read_log(body)


def message(kind: Kind, body: bytes = b"", *, history: bool = False, code: int = 0) -> Message:
    """Return a message of the topic with the next number."""
    flags = Flag.HISTORY if history else Flag(0)
    lines = body.count(b"\n") + 1
    return Message(b"t", Header(kind, 1, 1, next(_numbers), lines, flags, code), body)


def live(*numbers: int, history: bool = False) -> Message:
    """Return a message with the lines of these numbers."""
    lines = [messages.log(stamp(number), str(number), "stdout") for number in numbers]
    return message(Kind.LOG, b"\n".join(lines), history=history)


def begin(*numbers: int) -> list[Item]:
    """Return the history on the bus: a status and lines."""
    body = messages.status(ContainerStatus("web", "running", "Up"))
    return [
        message(Kind.STATUS, body, history=True),
        *([live(*numbers, history=True)] if numbers else []),
        message(Kind.READY),
    ]


END = message(Kind.END, messages.end(), code=1000)
STILL = message(Kind.ERROR, messages.error("Container is not running"), code=4409)
MISSING = message(Kind.ERROR, messages.error("Container not found"), code=4404)


class FakeFollower:
    """A topic that brings what the test says, one list of items at a time."""

    def __init__(self, *batches: list[Item]) -> None:
        self.batches = list(batches)
        self.closed = False

    def take(self, timeout: float) -> list[Item]:
        """Return the next items."""
        return self.batches.pop(0) if self.batches else []

    def watch(self, poller: zmq.Poller) -> float:
        """Be due at once."""
        return 0.0

    def close(self) -> None:
        """Record it."""
        self.closed = True


class FakeReader:
    """A reader's answer, one list of lines at a time; an error ends it."""

    def __init__(self, *batches: list[LogMessage] | Exception) -> None:
        self.batches = list(batches)
        self.failure = ""
        self.due = 0.0
        self.request: ReadRequest | None = None

    @property
    def done(self) -> bool:
        """Return True after the last batch."""
        return not self.batches

    def take(self) -> list[LogMessage]:
        """Return the next lines."""
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def fileno(self) -> int:
        """Return standard input's descriptor, which does not matter: the reader is always due."""
        return 0

    def close(self) -> None:
        """Do nothing."""


def source(
    options: Options, follower: FakeFollower | None, *readers: FakeReader
) -> tuple[Source, list[ReadRequest]]:
    """Return a source and the requests that its readers get."""
    waiting, asked = list(readers), []

    def ask(request: ReadRequest) -> LogReader:
        asked.append(request)
        return cast(LogReader, waiting.pop(0))

    choice = logs.choose(options, SETTINGS)
    return Source(choice, SETTINGS, ask, cast(Follower, follower)), asked


def texts(made: Source, rounds: int = 20, drain: bool = True) -> list[str]:
    """Return the lines and the kinds of notes that come."""
    found = []
    for _ in range(rounds):
        made.pump()
        while drain and made.queue:
            entry = made.next()
            if isinstance(entry, LogMessage):
                found.append(entry.data.line)
            elif isinstance(entry, Message):
                found.append(entry.header.kind.name)
            elif isinstance(entry, log_source.Note):
                found.append(entry.text)
    return found


SINCE = NOTHING._replace(since="2025-01-15T10:00:02Z")


def test_seam() -> None:
    """The answer holds the history and lines that the bus brings later; each comes once."""
    bus = FakeFollower(begin(4, 5), [live(6)], [live(7)], [live(8), live(9)])
    made, asked = source(
        SINCE, bus, FakeReader([line(2), line(3)], [line(4), line(5), line(6)], [line(7)])
    )
    assert texts(made) == ["STATUS", *"23456789"]
    assert [request.since for request in asked] == [stamp(2)]


def test_equal_lines_at_the_seam() -> None:
    """Of lines that are equal, as many come as there are."""
    bus = FakeFollower(begin(), [live(5, 5)], [live(5), live(5, 6)])
    made, _ = source(SINCE, bus, FakeReader([line(5), line(5)], [line(5)]))
    assert texts(made) == ["STATUS", *"55556"]


def test_times_do_not_matter_at_the_seam() -> None:
    """A clock that is set back neither hides lines nor repeats any."""
    bus = FakeFollower(begin(9), [live(3)], [live(4)])
    made, _ = source(SINCE, bus, FakeReader([line(8), line(9), line(3)]))
    assert texts(made) == ["STATUS", *"8934"]


def test_search_chooses_live_lines_too() -> None:
    """The reader searches the older lines, and the same pattern chooses among live ones."""
    for options, expected in (
        (NOTHING._replace(grep="[57]"), "57"),
        (NOTHING._replace(grep="[57]", invert_match=True), "568"),
        (NOTHING._replace(grep="[57]", fixed_strings=True), "5"),
    ):
        bus = FakeFollower(begin(1), [live(5, 6, 7, 8)])
        made, asked = source(options, bus, FakeReader([line(5)]))
        assert texts(made) == ["STATUS", *expected]
        assert [request.q for request in asked] == ["[57]"]


def test_lines_before_the_tail_are_not_shown() -> None:
    """What the bus brought before the last lines that were asked for is older than those."""
    bus = FakeFollower(begin(1, 2), [live(3, 4, 5)], [live(6)])
    tail = NOTHING._replace(tail="2000")
    made, asked = source(tail, bus, FakeReader([], [line(4), line(5)]))
    assert texts(made) == ["STATUS", *"456"]
    assert [request.tail for request in asked] == [2_000]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [(STILL, ["STATUS", "2", "ERROR"]), (MISSING, ["STATUS", "ERROR"])],
)
def test_log_that_cannot_be_followed(ending: Message, expected: list[str]) -> None:
    """The log of a stopped container is read before its end is told."""
    bus = FakeFollower([*begin(1)[:-1], ending])
    made, _ = source(SINCE, bus, FakeReader([line(2)]))
    assert texts(made) == expected
    assert made.over


def test_range_ends_with_the_answer() -> None:
    """Without following, the answer is all; an incomplete one is a failure."""
    options = NOTHING._replace(until="2025-01-15T11:00:00Z")
    made, _ = source(options, None, FakeReader([line(1)], [line(2)]))
    assert texts(made) == ["1", "2", ""]
    broken = FakeReader([line(1)])
    broken.failure = "the disk is gone"
    made, _ = source(options, None, broken)
    assert texts(made) == ["1", "the log could not be read to its end: the disk is gone"]
    made, _ = source(options, None, FakeReader(EngineError("16 logs are being read already")))
    assert texts(made) == ["16 logs are being read already"]


def test_reader_that_gave_up_is_followed_by_another() -> None:
    """A reader ends if its lines were not taken for long; the next one goes on behind them."""
    options = NOTHING._replace(until="2025-01-15T11:00:00Z")
    first = FakeReader([line(1), line(5), line(5)], BrokenOff())
    second = FakeReader([line(4), line(5)], [line(5), line(5), line(6)])
    made, asked = source(options, None, first, second)
    assert texts(made) == ["1", "5", "5", "5", "6", ""]
    assert [request.since for request in asked] == [None, stamp(4)]
    made, _ = source(options, None, FakeReader(BrokenOff()))
    assert "ended unexpectedly" in texts(made)[0]


@pytest.mark.parametrize("limit", ["_MOST", "_MOST_BYTES"])
def test_more_live_lines_than_are_kept(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """If the bus brings too much while a reader answers, another reader follows."""
    monkeypatch.setattr(log_source, limit, 3)
    bus = FakeFollower(begin(), [live(2), live(3, 4, 5)], [live(6, 7)], [live(8)])
    again = FakeReader([line(1), line(2)], [line(3), line(4), line(5), line(6)], [line(7)])
    made, asked = source(SINCE, bus, FakeReader([line(1)], [line(2)], []), again)
    assert texts(made) == ["STATUS", *"12345678"]
    assert len(asked) == 2


def test_lines_that_are_not_searched_for_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of a long log takes one reader, however busy the container is meanwhile."""
    monkeypatch.setattr(log_source, "_MOST", 3)
    busy: list[list[Item]] = [[live(6, 6, 6)] for _ in range(9)]
    bus = FakeFollower(begin(), *busy, [live(7)])
    made, asked = source(SINCE._replace(grep="[57]"), bus, FakeReader(*[[]] * 9, [line(5)]))
    assert texts(made) == ["STATUS", *"57"]
    assert len(asked) == 1


def test_lines_that_pile_up_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another log has older lines, live ones are left to the engine beyond a limit."""
    monkeypatch.setattr(log_source, "_MOST", 3)
    bus = FakeFollower(begin(), [live(1, 2, 3)], [live(4, 5)], [live(6)])
    again = FakeReader([line(2), line(3), line(4)], [line(5), line(6), line(7)])
    made, asked = source(NOTHING, bus, again)
    texts(made, 3, drain=False)
    assert not asked
    assert made.reading
    bus.batches += [[live(7)], [live(8)]]
    assert texts(made) == ["STATUS", *"12345678"]
    assert asked[0].since == stamp(2)
    assert not made.reading


class TestMerger:
    """Several logs as one."""

    def merged(
        self, capfd: pytest.CaptureFixture[str], *made: Source
    ) -> tuple[int, list[str], list[str]]:
        """Return the exit status, the lines and the notes."""
        printers: dict[Input, Printer] = {
            each: Printer(False, name, 2) for each, name in zip(made, "ab", strict=False)
        }
        status = Merger(printers).run()
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    def test_ranges(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A line waits for the other log's lines, and each log keeps its own order."""
        options = NOTHING._replace(until="2025-01-15T11:00:00Z")
        one, _ = source(options, None, FakeReader([line(1)], [], [line(5), line(3)], [line(8)]))
        two, _ = source(options, None, FakeReader([line(2), line(4)], [], [], [line(6), line(9)]))
        status, out, err = self.merged(capfd, one, two)
        names = "abbaabab"
        assert out == [f"{n}  | {text}" for n, text in zip(names, "12453689", strict=True)]
        assert (status, err) == (0, [])

    def test_live(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Live lines wait a moment for earlier ones; the worst end is the exit status."""
        a, b = (
            FakeFollower(begin(), [live(2)], [live(4), END]),
            FakeFollower(begin(1), [], [live(3)], [STILL]),
        )
        status, out, err = self.merged(capfd, source(NOTHING, a)[0], source(NOTHING, b)[0])
        assert out == ["b  | 1", "a  | 2", "b  | 3", "a  | 4"]
        assert status == 1
        assert "mist: b: Container is not running" in err
        assert (a.closed, b.closed) == (True, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"since": "2h", "until": "3h"}, "must be before --until"),
        ({"since": "2"}, "--since must be an RFC 3339 time"),
        ({"until": ""}, "--until must be an RFC 3339 time"),
        ({"until": "1h", "follow": True}, "--follow cannot be combined with --until"),
        ({"grep": "a(b"}, "--grep: 'a(b' is not a valid RE2 regular expression: missing"),
        ({"grep": "ä" * 2_049}, "--grep has 4098 bytes"),
        ({"invert_match": True}, "--invert-match needs --grep PATTERN"),
        ({"tail": "x"}, "--tail must be an integer of 0 or more, not 'x'"),
    ],
)
def test_wrong_options(changes: dict[str, object], words: str) -> None:
    """A wrong option is refused with the reason."""
    with pytest.raises(UsageError) as error:
        logs.choose(NOTHING._replace(**changes), SETTINGS)  # type: ignore[arg-type]
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("changes", "follow", "older", "tail"),
    [
        ({}, True, False, 100),
        ({"tail": "5"}, True, False, 5),
        ({"tail": "1001"}, True, True, 1_001),
        ({"since": "2h"}, True, True, None),
        ({"grep": "x"}, True, True, None),
        ({"grep": "x", "tail": "5"}, True, True, 5),
        ({"until": "2h"}, False, True, None),
        ({"follow": False}, False, True, 100),
    ],
)
def test_what_options_choose(
    changes: dict[str, object], follow: bool, older: bool, tail: int | None
) -> None:
    """Ranges and searches are read from the engine; only ``--until`` does not follow."""
    choice = logs.choose(NOTHING._replace(**changes), SETTINGS)  # type: ignore[arg-type]
    assert (choice.follow, choice.older, choice.request.tail) == (follow, older, tail)
