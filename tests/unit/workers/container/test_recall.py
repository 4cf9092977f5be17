"""Tests of a collector that continues the numbering of one that died with the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bus.wire import Flag, Kind
from mist.errors import ContainerNotFound, LogNotReadable
from mist.settings import CollectorSettings, ReplaySettings, Settings, StreamSettings
from tests.support.collecting import FakeStream, History, container, line
from workers.container.claim_file import ClaimFile
from workers.container.claims import Claim, marked
from workers.container.container import Container
from workers.container.recall import Search
from workers.container.resume import ResumePoint
from workers.container.states import State
from workers.container.stream import Lines, LogStream

SETTINGS = Settings(
    replay=ReplaySettings(lines=3),
    streams=StreamSettings(tail_lines=3, ring_lines=5),
    collector=CollectorSettings(recall_lines=50),
)


class Log(FakeStream):
    """A log of a known length."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__([Lines([line(number)]) for number in numbers])
        self.length = len(numbers)

    @property
    def entries(self) -> int:
        """The number of entries."""
        return self.length


Make = Callable[..., History]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a collector for a log of 40 lines, with a predecessor's claim."""

    def made(last: int = 30, age: float = 1.0, **changes: object) -> History:
        history = History(settings=SETTINGS)
        history.tails = []  # type: ignore[attr-defined]
        logs: dict[str, list[int]] = {"a": list(range(1, 41)), "b": []}

        def read(
            one: Container, resume: ResumePoint | None, tail: int | None, *, near: bool = False
        ) -> LogStream:
            assert resume is None
            history.tails.append(tail)  # type: ignore[attr-defined]
            return Log(logs[one.id] if tail is None else logs[one.id][-tail:])

        monkeypatch.setattr(history.engine, "history", read)
        monkeypatch.setattr("workers.container.recall.time.monotonic", lambda: 1_000.0)
        usual = {
            "epoch": 5,
            "seq": 100,
            "behind": 97,
            "written": 1_000.0 - age,
            "container": "a",
            "line": marked(ResumePoint(line(last))),
        }
        claim = Claim(**usual | changes)  # type: ignore[arg-type]
        history.out.claims = ClaimFile(None, claim, lambda: 1_000.0)
        history.bus.epoch, history.bus.next = claim.epoch, claim.seq + 1
        return history

    return made


def sent(history: History) -> list[tuple[int, int, str]]:
    """Return epoch, number and text of each line."""
    found: list[tuple[int, int, str]] = []
    for (epoch, seq), (kind, _, _, body) in zip(
        history.bus.numbers, history.bus.published, strict=True
    ):
        if kind is Kind.LOG:
            for number, _ in enumerate(body.split(b"\n"), seq):
                found.append((epoch, number, history.lines[len(found)]))
    return found


def test_lines_keep_their_numbers(make: Make) -> None:
    """The last lines before the claim's are sent with their numbers; later lines follow."""
    history = make()
    assert history.steps() is State.FOLLOWING
    expected = [(5, 70 + number, f"line {number}") for number in range(28, 41)]
    assert sent(history) == expected
    assert history.kinds == [Kind.LOG, Kind.STATUS, Kind.READY]
    assert {flag for kind, flag, _, _ in history.bus.published if kind is Kind.LOG} == {
        Flag.HISTORY
    }
    assert history.out.resume_point == ResumePoint(line(40))


def test_more_is_sent_again_if_subscribers_may_be_behind(make: Make) -> None:
    """What was sent in the last seconds is sent again, as far as a worker's ring reaches."""
    history = make(behind=96)
    history.steps()
    assert sent(history)[0] == (5, 97, "line 27")
    history = make(behind=20)
    history.steps()
    assert sent(history)[0] == (5, 96, "line 26")


def test_numbers_of_other_messages_are_filled(make: Make) -> None:
    """In place of a status of that time there is a message without a body."""
    history = make(others=(99,))
    history.steps()
    fillers = [
        number
        for number, (kind, flag, _, body) in zip(
            history.bus.numbers, history.bus.published, strict=True
        )
        if kind is Kind.READY and flag is Flag.HISTORY and not body
    ]
    assert fillers == [(5, 99)]
    assert [number for _, number, _ in sent(history)[:4]] == [97, 98, 100, 101]


def test_the_line_is_looked_for_ever_deeper(make: Make) -> None:
    """Lines that the container wrote meanwhile are read, however many they are."""
    history = make(last=5)
    history.steps()
    assert history.tails[-1] > 36  # type: ignore[attr-defined]
    assert [number for _, number, _ in sent(history)[2:]] == list(range(100, 136))


def test_nothing_is_looked_for_in_vain(make: Make) -> None:
    """For an old claim, no more is read than a new client needs; a new epoch begins."""
    history = make(last=5, age=3_600.0)
    history.steps()
    assert history.tails[0] == 4  # type: ignore[attr-defined]
    assert {epoch for epoch, _, _ in sent(history)} == {9}
    assert history.kinds == [Kind.STATUS, Kind.LOG, Kind.READY]


def test_without_subscribers_no_more_is_read_than_for_a_new_one(make: Make) -> None:
    """Clients of a collector that was stopped under the same broker have gone for good."""
    history = make(last=5, age=10.0)
    history.out.awaited = False
    history.steps()
    assert history.tails[0] == 4  # type: ignore[attr-defined]
    assert len(history.tails) == 2  # type: ignore[attr-defined]
    assert {epoch for epoch, _, _ in sent(history)} == {9}


def test_clients_of_web_workers_that_restart_come_back(make: Make) -> None:
    """For a moment after its last subscriber, a log is continued from however far back."""
    history = make(last=5)
    history.out.awaited = False
    history.steps()
    assert [number for _, number, _ in sent(history)[2:]] == list(range(100, 136))


def test_an_old_claim_is_continued_if_its_line_is_near(make: Make) -> None:
    """A client that was away for an hour resumes by number if little was written."""
    history = make(last=39, age=3_600.0)
    history.steps()
    assert sent(history)[-1] == (5, 101, "line 40")


def test_a_line_that_is_gone_begins_a_new_epoch(make: Make) -> None:
    """If the line is not in the log any more, nothing can be joined."""
    history = make(last=59)
    history.steps()
    assert {epoch for epoch, _, _ in sent(history)} == {9}
    assert history.out.claims.claim.epoch == 9


def test_a_container_without_a_line_is_read_from_its_beginning(make: Make) -> None:
    """Nothing of the container was published, so its whole log is new."""
    history = make(line=None, first=101)
    history.steps()
    assert sent(history) == [(5, 100 + number, f"line {number}") for number in range(1, 41)]


def test_the_rest_of_a_replaced_container_comes_first(make: Make) -> None:
    """The old container's last lines are read before the new one's log."""
    history = make(last=39)
    history.engine.container = container("b")
    history.stream(Lines([line(50)]))
    history.steps(2)
    assert history.lines == ["line 37", "line 38", "line 39", "line 40", "line 50"]
    assert history.out.claims.claim.container == "b"


@pytest.mark.parametrize("error", [ContainerNotFound("a"), LogNotReadable("none")])
def test_a_replaced_container_without_a_line_may_have_no_log(
    make: Make, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was removed, or its log cannot be read; its successor's log is not affected."""
    history = make(line=None)
    history.engine.container = container("b")
    read = history.engine.history

    def refuse(one: Container, *arguments: Any, **options: Any) -> LogStream:
        if one.id == "a":
            raise error
        return read(one, *arguments, **options)

    monkeypatch.setattr(history.engine, "history", refuse)
    assert history.steps() is State.FOLLOWING
    assert history.kinds == [Kind.STATUS, Kind.READY]
    assert history.codes == []


def test_a_container_that_is_missing_keeps_the_claim(make: Make) -> None:
    """The claim is continued when the container is there again."""
    history = make()
    history.engine.looks = [None, container("a")]
    history.steps(2)
    assert sent(history)[-1] == (5, 111, "line 40")
    assert (5, 101) in history.bus.numbers  # the error about it


def test_identical_lines_are_counted() -> None:
    """A line that was published three times is passed three times."""
    same = [line(1)] * 5
    mark = marked(ResumePoint(line(1), 3))
    assert mark is not None
    search = Search(mark, 10, 1_000)
    assert search.feed(same[:2]) is None
    assert search.feed(same[2:]) == same[3:]
    assert len(search.lines) == 3


def test_what_is_held_is_bounded_in_bytes() -> None:
    """Large lines count more."""
    mark = marked(ResumePoint(line(9)))
    assert mark is not None
    search = Search(mark, 100, 50)
    search.feed([line(1, "x" * 40), line(2, "x" * 40), line(9)])
    assert [one.timestamp for one in search.lines] == [line(2).timestamp, line(9).timestamp]
