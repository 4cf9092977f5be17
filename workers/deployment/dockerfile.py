"""Read a Dockerfile as its parser does, as far as its instructions are looked at."""

from __future__ import annotations

import re
from typing import Final

_BYTE_ORDER_MARK: Final = "\ufeff"
# Directives are comments at the beginning (Dockerfile reference, "Parser directives").
_BACKTICK: Final = re.compile(
    r"(?:[ \t]*#[ \t]*\w+[ \t]*=[^\n]*\n)*?[ \t]*#[ \t]*escape[ \t]*=[ \t]*`[ \t\r]*(?:\n|\Z)", re.I
)
_COMMENT: Final = re.compile(r"^[ \t]*#[^\n]*(?:\n|\Z)", re.M)
# A line that goes on, and the empty lines after it.
_CONTINUED: Final = r"{}[ \t\r]*\n(?:[ \t\r]*\n)*"


def instructions(text: str) -> str:
    """Return the instructions, each in one line, without comments and a byte order mark."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    escape = "`" if _BACKTICK.match(text) else r"\\"
    return re.sub(_CONTINUED.format(escape), "", _COMMENT.sub("", text))
