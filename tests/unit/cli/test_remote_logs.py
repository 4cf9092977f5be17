"""Tests of a log from another machine: its thread, and a range whose answer breaks off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cli.log_source import Choice, Entry, Note
from cli.logs import Options, choose
from cli.remote import following, log_source
from cli.remote.log_reading import Log, Reading
from cli.remote.log_source import RemoteSource
from cli.remote.service import Busy, RemoteError, RemoteService, Unreachable
from mist.errors import Exit
from mist.messages import LogLine, LogMessage
from mist.settings import Settings
from tests.support.wait import wait_until

LOG = Log("web", {"appId": 1}, "/api/apps/1/logs")
OPTIONS = Options(None, None, None, None, False, False, False, False, False, False)
Answer = list[bytes | Exception]


def stamp(number: int) -> str:
    """Return the time of the line with this number."""
    return f"2025-01-15T10:{number // 60:02d}:{number % 60:02d}.000000000Z"


def line(number: int) -> LogMessage:
    """Return a line with this number as its text."""
    return LogMessage(stamp(number), LogLine(str(number)))


def record(number: int) -> bytes:
    """Return the record of a line."""
    data = {"line": str(number), "stream": "stdout"}
    return json.dumps({"type": "log", "timestamp": stamp(number), "data": data}).encode()


END = b'{"type":"end","timestamp":"","data":{"complete":true,"reached":null}}'


class FakeService:
    """A service that gives prepared answers to requests for older lines."""

    url = "https://mist.lan"

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def lines(self, path: str, **parameters: object) -> Iterator[bytes]:
        """Give the next answer."""
        assert path == LOG.older
        self.asked.append(parameters)
        for each in self.answers.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each

    def misunderstood(self, error: Exception) -> RemoteError:
        """Return the error about an answer of another shape."""
        return RemoteError(str(error))


class Taken:
    """The entries of a log."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entry: Entry) -> None:
        """Take an entry."""
        self.entries.append(entry)

    def settle(self) -> None:
        """Do nothing."""

    @property
    def numbers(self) -> list[str]:
        """The texts of the lines."""
        return [each.data.line for each in self.entries if isinstance(each, LogMessage)]

    @property
    def notes(self) -> list[str]:
        """The texts of the notes."""
        return [each.text for each in self.entries if isinstance(each, Note)]


def choice(**options: Any) -> Choice:
    """Return what these options choose, without following."""
    return choose(OPTIONS._replace(**options), Settings())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let failed attempts be repeated at once."""
    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0.001)


def read(service: FakeService, chosen: Choice) -> tuple[int, Taken]:
    """Read a log."""
    taken = Taken()
    return Reading(cast(RemoteService, service), LOG, chosen, taken).run(), taken


def test_a_range_goes_on_where_it_broke_off() -> None:
    """Lines that come again are left out; a request for the last lines becomes one for a time."""
    service = FakeService(
        [record(10), record(11), record(11)],  # without its end
        [Unreachable("away")],
        [record(10), record(11), record(11), record(11), record(12), END],
    )
    status, taken = read(service, choice(tail="5000", until=stamp(3_000)))
    assert (status, taken.numbers) == (Exit.OK, ["10", "11", "11", "11", "12"])
    assert [asked["tail"] for asked in service.asked] == [5_000, None, None]
    assert [asked["since"] for asked in service.asked] == [None, stamp(10), stamp(10)]
    assert {asked["until"] for asked in service.asked} == {stamp(3_000)}
    assert taken.notes == ["https://mist.lan: the answer broke off before its end; trying again"]


def test_the_place_in_a_range_is_gone() -> None:
    """After a rotation meanwhile, the reader is told."""
    service = FakeService([record(10)], [END])
    status, taken = read(service, choice(since=stamp(1)))
    assert (status, taken.numbers) == (Exit.OK, ["10"])
    assert "An unknown number of lines skipped" in taken.notes[-1]


def test_a_range_that_never_began() -> None:
    """A service that cannot be reached is an error, and one without a place is asked again."""
    with pytest.raises(Unreachable, match="away"):
        read(FakeService([Unreachable("away")]), choice())
    status, taken = read(FakeService([Busy("4 readers at most")], [record(1), END]), choice())
    assert (status, taken.numbers) == (Exit.OK, ["1"])
    assert taken.notes == ["4 readers at most; trying again"]


@pytest.mark.parametrize("answer", [b"<html>", b'{"type":"log"}', b"[]", b"\xff"])
def test_records_of_another_shape(answer: bytes) -> None:
    """They are an error with a reason."""
    with pytest.raises(RemoteError):
        read(FakeService([answer]), choice())


def test_a_thread_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit waits, every entry comes, and the status is the last."""
    monkeypatch.setattr(log_source, "_MOST", 3)
    put: list[int] = []

    def produce(source: RemoteSource) -> int:
        for number in range(10):
            source.put(line(number))
            put.append(number)
        return Exit.FAILURE

    source = RemoteSource(produce)
    wait_until(lambda: len(put) == 3, "the first entries")
    taken: list[Entry] = []
    deadline = time.monotonic() + 30
    while not (source.over and not source.queue):
        assert time.monotonic() < deadline
        source.pump()
        assert len(source.queue) <= 4  # and the end
        while source.queue:
            taken.append(source.next())
    assert taken == [*map(line, range(10)), Note("", Exit.FAILURE)]
    assert not source.reading
    source.close()


def test_a_closed_source_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for room ends, and so does one that only learns of it later."""
    monkeypatch.setattr(log_source, "_MOST", 1)
    ended: list[str] = []
    started = threading.Event()

    def produce(source: RemoteSource) -> int:
        try:
            while True:
                source.put(line(1))
                started.set()
        finally:
            ended.append("produce")

    source = RemoteSource(produce)
    assert started.wait(30)
    source.close()
    source.close()
    wait_until(lambda: ended == ["produce"], "the end of the thread")


def test_a_failure_of_the_thread() -> None:
    """An expected error is a note with its exit status; any other is raised."""

    def refuse(_source: RemoteSource) -> int:
        raise Unreachable("away")

    def fail(_source: RemoteSource) -> int:
        raise ZeroDivisionError

    def over() -> bool:
        source.pump()
        return source.over

    source = RemoteSource(refuse)
    wait_until(over, "the end")
    assert source.next() == Note("away", Exit.UNAVAILABLE)
    source.close()
    source = RemoteSource(fail)
    with pytest.raises(ZeroDivisionError):
        wait_until(over, "the failure")
    source.close()
