"""The choice of lines by text, pattern and stream."""

from __future__ import annotations

from typing import Any

import pytest

from mist import heartbeat
from mist.errors import UsageError
from mist.read_request import ReadRequest
from workers.reader.entries import Entry
from workers.reader.search import chooser

LINES: list[Entry] = [
    (b"", 1, b"GET /a.b 200"),
    (b"", 2, "Größe: 5 µs".encode()),
    (b"", 1, b"get /axb \xff 500"),
    (b"", 2, b""),
]


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ({"q": "get"}, [0, 2]),
        ({"q": "get", "case": True}, [2]),
        ({"q": "get", "case": True, "invert": True}, [0, 1, 3]),
        ({"q": "a.b"}, [0]),
        ({"q": "a.b", "regex": True}, [0, 2]),
        ({"q": "GRÖSSE"}, []),
        ({"q": "GRÖße"}, [1]),
        ({"q": "^$", "regex": True}, [3]),
        ({"q": "500$", "regex": True, "stream": "stdout"}, [2]),
        ({"q": "a.b", "invert": True, "stream": "stdout"}, [2]),
        ({"stream": "stderr"}, [1, 3]),
        ({"q": "\x00"}, []),
    ],
)
def test_choice(query: dict[str, Any], chosen: list[int]) -> None:
    """The lines that match, in their order."""
    choose = chooser(ReadRequest(user="u", **query))
    assert choose is not None
    assert choose(LINES) == [LINES[index] for index in chosen]


def test_without_a_condition_there_is_no_choice() -> None:
    """Whatever is not searched for costs nothing; an empty text with ``invert`` as well."""
    assert chooser(ReadRequest(user="u")) is None


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "a{2000}", "[z-a]", "\\"])
def test_invalid_pattern(pattern: str) -> None:
    """The error quotes the library and says where the syntax is described."""
    with pytest.raises(UsageError, match=r"not a valid RE2 regular expression: .*; see https"):
        chooser(ReadRequest(user="u", q=pattern, regex=True))


def test_a_search_announces_how_long_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """It depends on the pattern and on the lines; the search for a text takes no time."""
    announced: list[float] = []
    monkeypatch.setattr(heartbeat, "beat", announced.append)
    long: list[Entry] = [(b"", 1, b"x" * 10_000)]
    for q, lines in (("(x?){900}y", long), ("(x?){900}y", long * 2), ("xy", long)):
        choose = chooser(ReadRequest(user="u", q=q, regex=True))
        assert choose is not None
        assert choose(lines) == []
    first, second, small = announced
    assert first > 0.5
    assert second == pytest.approx(2 * first)
    assert small < first / 100
    choose = chooser(ReadRequest(user="u", q="xy", case=True))
    assert choose is not None
    assert choose(long) == []
    assert announced[3:] == [0.0]
