"""Tests of lines and secrets in output that arrives in pieces."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.deployment.text import (
    CUT,
    Lines,
    Redactor,
    credentials,
    cut,
    origin,
    url_secrets,
    without_credentials,
)


def split(text: str, cuts: list[int]) -> list[str]:
    """Return the text split into pieces."""
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@given(st.text(alphabet="ab\r\né…"), st.lists(st.integers(0, 40)))
def test_any_pieces_give_the_same_lines(text: str, cuts: list[int]) -> None:
    """The lines do not depend on the pieces."""
    whole, pieces = Lines(100), Lines(100)
    expected = [*whole.feed(text), *whole.rest()]
    found = [line for piece in split(text, cuts) for line in pieces.feed(piece)]
    assert found + pieces.rest() == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        (" 1%\r 50%\r100%\n", ["100%"]),
        (" 1%\r 50%\r", [" 50%"]),
        ("\n\n", ["", ""]),
        ("", []),
    ],
)
def test_lines_are_what_a_terminal_shows(text: str, lines: list[str]) -> None:
    """A carriage return starts the line again, as on a terminal."""
    found = Lines(100)
    assert found.feed(text) + found.rest() == lines


def test_long_lines_are_cut() -> None:
    """Long lines are cut by bytes, between characters, without being kept whole."""
    lines = Lines(5)
    assert lines.feed("abcde\nabcdef\n") == ["abcde", "abcde" + CUT]
    assert lines.feed("éééé\n") == ["éé" + CUT]
    for _ in range(1000):
        assert lines.feed("x" * 100) == []
    assert lines.feed("\nnext\n") == ["xxxxx" + CUT, "next"]


def test_a_progress_display_may_be_longer_than_a_line() -> None:
    """Only the last state counts for the limit, as Git's has more than 4096 bytes in a minute."""
    lines = Lines(10)
    for percent in range(100):
        assert lines.feed(f"{percent:3} %\r") == []
    assert lines.feed("100 %, done.\n") == ["100 %, don" + CUT]
    assert lines.feed("xxxxxxxxxxxxxxxxxx\rdone\r\n") == ["done"]


def test_a_line_of_single_characters_takes_no_time() -> None:
    """A program that writes each character by itself does not hold the deployment up."""
    lines, begun = Lines(1_048_576), time.process_time()
    for _ in range(500_000):
        lines.feed("x")
    assert time.process_time() - begun < 5
    assert lines.rest() == ["x" * 500_000]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key=hunter2!", "key=***!"),
        ("hunter2hunter2", "******"),
        ("the longer one: hunter2-and-more", "the longer one: ***"),
        ("first line\nof two", "***"),
        ("first line\rof two", "***\r***"),
        ("echo of two", "echo ***"),
        ("mode 1, 12 and 123", "mode 1, 12 and 123"),
        ("https://joe:whatever@example.com/x", "https://***@example.com/x"),
        ("ssh://git@example.com/x", "ssh://git@example.com/x"),
        ("a+b", "a+b"),
        ("a.+b", "***"),
    ],
)
def test_secrets_are_blotted_out(text: str, clean: str) -> None:
    """Secrets and each of their lines are redacted, longest first, unless they are too short."""
    redact = Redactor(["hunter2", "hunter2-and-more", "first line\nof two", "1", "a.+b", ""])
    assert redact(text) == clean


@pytest.mark.parametrize(
    ("url", "secrets", "plain"),
    [
        ("https://joe:p%40ss@h/x", {"p%40ss", "p@ss"}, "https://h/x"),
        ("https://token123@h:8443/x", {"token123"}, "https://h:8443/x"),
        ("ssh://git@h/x", set(), "ssh://git@h/x"),
        ("ssh://git:pass@h/x", {"pass"}, "ssh://git:pass@h/x"),
        ("git@h:x", set(), "git@h:x"),
        ("https://h/x", set(), "https://h/x"),
        ("file:///srv/x", set(), "file:///srv/x"),
    ],
)
def test_credentials_of_an_address(url: str, secrets: set[str], plain: str) -> None:
    """An address contains passwords or tokens, as written and as decoded."""
    assert set(url_secrets(url)) == secrets
    assert without_credentials(url) == plain


@pytest.mark.parametrize(
    ("url", "pair", "place"),
    [
        ("https://joe:p%40ss@h:8443/x", ("joe", "p@ss"), "https://h:8443"),
        ("https://token123@h/x", ("token123", ""), "https://h"),
        ("https://h/x", None, "https://h"),
    ],
)
def test_credentials_for_git(url: str, pair: tuple[str, str] | None, place: str) -> None:
    """Git gets decoded credentials for one server."""
    assert credentials(url) == pair
    assert origin(url) == place


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "abc" + CUT), ("äöü", 5, "äö" + CUT), ("\udcff", 9, "?")],
)
def test_a_text_is_cut_between_characters(text: str, limit: int, expected: str) -> None:
    """The limit is in bytes, and no character is broken."""
    assert cut(text, limit) == expected
