"""Choose lines by text, regular expression and stream, over bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from mist import heartbeat
from mist.errors import UsageError
from mist.messages import Stream
from mist.read_request import ReadRequest
from workers.reader.entries import Entry

Matches = Callable[[bytes], object]
Choose = Callable[[list[Entry]], list[Entry]]

# The time that RE2 takes at most, in seconds for each byte and each step of its program.
# Measured: 6 ns, where all steps have to be tried at each byte.
_STEP_SECONDS: Final = 20e-9

KINDS: Final[dict[Stream, int]] = {"stdout": 1, "stderr": 2}


class InvalidPattern(UsageError):
    """The regular expression of a request is not one; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"q is not a valid RE2 regular expression: {self.reason}; "
            "see https://github.com/google/re2/wiki/Syntax, or leave out regex=1"
        )


def line_matcher(request: ReadRequest) -> Callable[[str], bool]:
    """Return the function that tells if the request's search finds a line's text."""
    matcher = _matcher(request)
    if matcher is None:
        return lambda _text: True
    matches, wanted = matcher.matches, not request.invert
    return lambda text: bool(matches(text.encode("utf-8", "replace"))) is wanted


def chooser(request: ReadRequest, *, tty: bool = False) -> Choose | None:
    """Return the function that chooses among lines; None if all lines are wanted.

    With ``tty`` the lines end with a carriage return, which does not count.  Raise
    UsageError if the regular expression is invalid.
    """
    kind = KINDS[request.stream] if request.stream else None
    matcher = _matcher(request)
    if matcher is None:
        if kind is None:
            return None
        return lambda entries: [entry for entry in entries if entry[1] == kind]
    matches = _without_return(matcher.matches) if tty else matcher.matches
    wanted = not request.invert

    def choose(entries: list[Entry]) -> list[Entry]:
        # The next beat may be late: a large pattern takes minutes for a long line.
        heartbeat.beat(matcher.byte_seconds * sum(len(entry[2]) for entry in entries))
        return [
            entry
            for entry in entries
            if (kind is None or entry[1] == kind) and bool(matches(entry[2])) is wanted
        ]

    return choose


class _Matcher(NamedTuple):
    matches: Matches
    byte_seconds: float
    """The time that it takes at most for each byte."""


def _without_return(matches: Matches) -> Matches:
    return lambda text: matches(text.removesuffix(b"\r"))


def _matcher(request: ReadRequest) -> _Matcher | None:
    if not request.q:
        return None
    if request.case and not request.regex:
        needle = request.q.encode()
        return _Matcher(lambda text: needle in text, 0.0)
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
        raise InvalidPattern(reason) from None
    return _Matcher(compiled.search, compiled.programsize * _STEP_SECONDS)
