"""Older lines of a log, without I/O."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mist_client import OlderEnd, Unreachable
from mist_client.older import OlderRecords, OlderRequest

from tests.support.log_service import message, stamp

LINES = [message("log", stamp(n), line=f"{n} é", stream="stdout") for n in range(20)]
END = message("end", lines=20, matched=20, complete=True, reached=stamp(19))


@given(st.lists(st.integers(0, 2_000), max_size=30))
def test_lines_come_once_wherever_the_answer_is_divided(cuts: list[int]) -> None:
    """Also in the middle of a character."""
    answer = b"\n".join([*LINES, b"", b'{"type":"later"}', END]) + b"\n"
    records = OlderRecords()
    lines: list[str] = []
    places = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        lines += [line.line for line in records.feed(answer[begin:end])]
    assert lines == [f"{n} é" for n in range(20)]
    assert records.finish() == OlderEnd(20, 20, complete=True, reached=stamp(19), message="")


def test_an_answer_without_its_last_record_is_broken_off() -> None:
    """Then it is not known what is missing."""
    records = OlderRecords()
    records.feed(LINES[0] + b"\n" + END)  # without a newline it may not be complete either
    with pytest.raises(Unreachable, match="broken off"):
        records.finish()


@pytest.mark.parametrize(
    ("app_id", "container", "chosen", "path", "query"),
    [
        (3, None, {}, "/api/apps/3/logs", {}),
        (None, "a/b c", {}, "/api/containers/a%2Fb%20c/logs", {}),
        (
            3,
            None,
            {"since": "2h", "tail": 0, "q": "x", "regex": True, "case": False, "limit": None},
            "/api/apps/3/logs",
            {"since": "2h", "tail": "0", "q": "x", "regex": "1"},
        ),
    ],
)
def test_requests(
    app_id: int | None, container: str | None, chosen: Any, path: str, query: dict[str, str]
) -> None:
    """Switches are 1 or absent."""
    request = OlderRequest(app_id, container, chosen)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(("app_id", "container"), [(None, None), (1, "web")])
def test_one_log_has_to_be_named(app_id: int | None, container: str | None) -> None:
    """An application or a container."""
    with pytest.raises(TypeError, match="give either app_id or container"):
        OlderRequest(app_id, container, {})


def test_an_answer_that_is_not_utf8() -> None:
    """A line is not left out without a word."""
    damaged = message("log", stamp(1), line="one", stream="stdout").replace(b"one", b"\xff")
    with pytest.raises(Unreachable, match="not UTF-8"):
        OlderRecords().feed(damaged + b"\n")
