"""Make control characters visible, so that text from outside cannot control a terminal.

Escape sequences can set the clipboard (OSC 52) and the title, make the terminal send
answers as if the user had typed them (``CSI 6n``), and hide or reorder text.  Log lines,
names and error messages come from containers and repositories, which are not trusted.
"""

from __future__ import annotations

import re
from typing import Final

# Controls (C0 without the tab, DEL, C1), line and paragraph separators, the controls of
# the bidirectional algorithm (UAX #9) and of interlinear annotations, and lone surrogates.
_HIDDEN: Final = (
    r"\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb"
    r"\ud800-\udfff"
)
_UNSAFE: Final = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_LINES: Final = re.compile(f"(?!\n)[{_HIDDEN}]")

# "Select Graphic Rendition" (ECMA-48, 8.3.117), limited to a plausible length.
_UNSAFE_OR_COLOUR: Final = re.compile(rf"\x1b\[([0-9;:]{{0,64}})m|[{_HIDDEN}]")

# JSON encoders escape C0 but none of the others.
_UNSAFE_IN_JSON: Final = re.compile(f"(?![\\x00-\\x1f\\ud800-\\udfff])[{_HIDDEN}]")

RESET: Final = "\x1b[0m"
_CONCEAL: Final = "8"
# The number of parameters after 38, 48 or 58 (a colour) and the given colour space.
_COLOUR_PARAMETERS: Final = {"5": 1, "2": 3}


def visible(text: str, *, lines: bool = False) -> str:
    """Replace each control character with an escape sequence as in a Python literal.

    With ``lines``, keep newlines.
    """
    return (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(_escape, text)


def coloured(line: str) -> str:
    """Like :func:`visible`, but keep colours, and reset them at the end of the line."""
    shown = _UNSAFE_OR_COLOUR.sub(_escape_unless_colour, line)
    return shown + RESET if "\x1b" in shown else shown  # only a colour still has one


def plain_json(data: bytes) -> bytes:
    """Escape in JSON syntax the characters that :func:`visible` escapes."""
    if data.isascii() and b"\x7f" not in data:
        return data
    text = data.decode("utf-8", "replace")
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def _escape_unless_colour(found: re.Match[str]) -> str:
    parameters = found[1]
    if parameters is None:
        return _escape(found)
    return found[0] if not _conceals(parameters) else f"\\x1b[{parameters}m"


def _conceals(parameters: str) -> bool:
    """Return True if the parameters would make the following text invisible."""
    codes = iter([code.lstrip("0") for code in re.split("[;:]", parameters)])
    for code in codes:
        if code == _CONCEAL:
            return True
        if code in {"38", "48", "58"}:
            for _ in range(_COLOUR_PARAMETERS.get(next(codes, ""), 0)):
                next(codes, None)
    return False
