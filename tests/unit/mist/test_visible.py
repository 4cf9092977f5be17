"""Tests of escaping what a terminal would obey."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.visible import RESET, coloured, plain_json, visible

#: Characters to which ECMA-48 or UAX #9 gives a meaning beyond themselves.
_ORDERS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGFja2Vk\x07", r"\x1b]52;c;aGFja2Vk\x07"),
        ("\x1b]0;root\x1b\\", r"\x1b]0;root\x1b" + "\\"),
        ("\x1b[6n", r"\x1b[6n"),
        ("\x1bP$q q\x1b\\", r"\x1bP$q q\x1b" + "\\"),
        ("\x9b2J\x9d0;x\x9c", r"\x9b2J\x9d0;x\x9c"),
        ("abc\rxyz\b\x7f", r"abc\rxyz\x08\x7f"),
        ("user\u202etxt.exe\u2066", r"user\u202etxt.exe\u2066"),
        ("\ud800", r"\ud800"),
        ("漢字\t👩‍🚀 é", "漢字\t👩‍🚀 é"),
    ],
)
def test_orders_are_shown(text: str, shown: str) -> None:
    """Control sequences are escaped; printable text of any language is unchanged."""
    assert visible(text) == shown
    assert coloured(text) == shown


@pytest.mark.parametrize("colour", ["1", "31", "1;38;5;8", "38;2;8;8;8", "48:5:8", "0", ""])
def test_colours_pass_in_lines(colour: str) -> None:
    """Colours pass in lines and are reset at the end of the line."""
    line = f"\x1b[{colour}mred"
    assert coloured(line) == line + RESET
    assert visible(line) == rf"\x1b[{colour}mred"


@pytest.mark.parametrize("concealed", ["8", "31;8", "08", "38;5;1;8", "38;2;1;2;3;8"])
def test_concealed_text_is_no_colour(concealed: str) -> None:
    """A sequence that conceals text is escaped, because a user would copy the text unknowingly."""
    assert coloured(f"\x1b[{concealed}mrm -rf") == rf"\x1b[{concealed}mrm -rf"


@pytest.mark.parametrize("sequence", ["\x1b[?25l", "\x1b[>4;1m", "\x1b[1 m", "\x1b[2J"])
def test_only_colours_pass(sequence: str) -> None:
    """Sequences that only resemble a colour are escaped."""
    assert "\x1b" not in coloured(sequence)


def test_newlines_stay_where_there_are_lines() -> None:
    """Newlines are kept in messages of several lines."""
    assert visible("a\n\x1bb", lines=True) == "a\n\\x1bb"


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b[]m;8\x9b\x07")))
def test_nothing_gets_through(text: str) -> None:
    """No text can produce a control sequence."""
    assert not _ORDERS.search(visible(text))
    assert not _ORDERS.search(_COLOUR.sub("", coloured(text)))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_means_the_same(text: str) -> None:
    """Escaped JSON has the same meaning and no control characters."""
    data = plain_json(json.dumps({"line": text}, ensure_ascii=False).encode())
    assert json.loads(data) == {"line": text}
    assert not _ORDERS.search(data.decode())
