"""Choose lines by text, regular expression and stream, over bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mist.errors import UsageError
from mist.messages import Stream
from mist.read_request import ReadRequest
from workers.reader.entries import Entry

Matches = Callable[[bytes], object]
Choose = Callable[[list[Entry]], list[Entry]]

KINDS: Final[dict[Stream, int]] = {"stdout": 1, "stderr": 2}


def chooser(request: ReadRequest, *, tty: bool = False) -> Choose | None:
    """Return the function that chooses among lines; None if all lines are wanted.

    With ``tty`` the lines end with a carriage return, which does not count.  Raise
    UsageError if the regular expression is invalid.
    """
    kind = KINDS[request.stream] if request.stream else None
    matches = _matcher(request)
    if tty and matches is not None:
        matches = _without_return(matches)
    if matches is None:
        if kind is None:
            return None
        return lambda entries: [entry for entry in entries if entry[1] == kind]
    wanted = not request.invert
    return lambda entries: [
        entry
        for entry in entries
        if (kind is None or entry[1] == kind) and bool(matches(entry[2])) is wanted
    ]


def _without_return(matches: Matches) -> Matches:
    return lambda text: matches(text.removesuffix(b"\r"))


def _matcher(request: ReadRequest) -> Matches | None:
    if not request.q:
        return None
    if request.case and not request.regex:
        needle = request.q.encode()
        return lambda text: needle in text
    # Here, because the library is needed only for some searches.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.case_sensitive = request.case
    options.log_errors = False
    try:
        compiled = re2.compile(request.q if request.regex else re2.escape(request.q), options)
    except re2.error as error:
        said = error.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise UsageError(
            f"q is not a valid RE2 regular expression: {reason}; "
            "see https://github.com/google/re2/wiki/Syntax, or leave out regex=1"
        ) from None
    search: Matches = compiled.search
    return search
