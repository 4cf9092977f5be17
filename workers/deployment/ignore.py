"""The patterns of ``.dockerignore``, read as the ``docker`` command reads them.

A port of ``github.com/moby/patternmatcher`` 0.6 and its ``ignorefile``, which are what
``docker build`` filters with, and of the walk in ``archive.TarWithOptions``: their quirks
are what people's files rely on.  The regular expressions that the patterns become are
RE2, as in the original, so no pattern backtracks.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import re2

#: What ``strings.TrimSpace`` takes away.
_BLANKS: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
#: A longer line is an error to ``bufio.Scanner``.
_LINE_BYTES: Final = 65_535
#: Characters that mean something in a regular expression, and nothing in a pattern.
_PLAIN: Final = frozenset(".+()|{}$")
#: The syntax that ``filepath.Match`` accepts.
_ITEM: Final = r"(?:\\[^\udc80-\udcff]|[^\\\]\-\udc80-\udcff])"
_SYNTAX: Final = re.compile(rf"(?:[^\[\\]|\\.|\[\^?+(?:{_ITEM}(?:-{_ITEM})?)++\])*+", re.DOTALL)
#: Bytes that are not UTF-8, as ``os.fsdecode`` has them.
_STRAY: Final = re.compile(r"[\udc80-\udcff]")
#: So many characters of a pattern are shown in a message.
_SHOWN: Final = 200
_BAD: Final = "syntax error in pattern"


class BadPattern(Exception):
    """A line that ``docker build`` refuses, too; the text says why."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(pattern, reason)
        self.pattern = pattern
        self.reason = reason

    def __str__(self) -> str:
        return f"{_shown(self.pattern)}: {self.reason}"


class Pattern:
    """One line: ``exception`` if it began with ``!``."""

    def __init__(self, text: str) -> None:
        self.exception = text.startswith("!")
        self.text = text[1:] if self.exception else text
        if not self.text:
            raise BadPattern(text, 'illegal exclusion pattern: "!"')
        if not _SYNTAX.fullmatch(self.text):
            raise BadPattern(text, _BAD)
        self._matches: Callable[[str], bool] | None = None

    def matches(self, path: str) -> bool:
        """Return True if the pattern is of this very path; one above it is not looked at."""
        if self._matches is None:
            self._matches = _matcher(self.text)
        return self._matches(path)

    def may_be_below(self, folder: str) -> bool:
        """Return True if the pattern is an exception whose text begins with the folder."""
        return self.exception and f"{self.text}/".startswith(f"{folder}/")


def read(data: bytes) -> list[Pattern]:
    """Return the patterns of an ignore file; BadPattern for one that docker refuses."""
    patterns = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if len(line) > _LINE_BYTES:
            raise BadPattern(os.fsdecode(line), f"the line has more than {_LINE_BYTES} bytes")
        text = os.fsdecode(line)
        if text.startswith("#") or not (text := text.strip(_BLANKS)):
            continue
        # Twice, because the command does it twice: ``!/`` ends as ``!``, which is an error.
        patterns.append(Pattern(_clean(_relative(text).strip(_BLANKS))))
    return patterns


def walk(root: Path, patterns: list[Pattern], check: Callable[[], None]) -> Iterator[str]:
    """Yield the paths below ``root`` that are not ignored; ``check`` is called for each of all.

    Git's own folder is never among them.
    """
    # A stack, because a repository may have more levels than Python has frames.
    folders = [_Folder("", bytes(len(patterns)))]
    exceptions = [pattern for pattern in patterns if pattern.exception]
    while folders:
        above = folders.pop()
        with os.scandir(root / above.path) as entries:
            for entry in entries:
                check()
                path = f"{above.path}/{entry.name}" if above.path else entry.name
                if path == ".git":
                    continue
                ignored, matched = _judge(patterns, path, above.matched)
                if not ignored:
                    yield path
                if entry.is_dir(follow_symlinks=False) and not (
                    ignored and not any(pattern.may_be_below(path) for pattern in exceptions)
                ):
                    folders.append(_Folder(path, matched))


class _Folder(NamedTuple):
    """A folder to look into, and for each pattern whether it matches the folder or one above."""

    path: str
    matched: bytes


def _judge(patterns: list[Pattern], path: str, above: bytes) -> tuple[bool, bytes]:
    """Return whether the path is ignored, and the patterns that match it or a folder above."""
    ignored = False
    matched = bytearray(len(patterns))
    for number, pattern in enumerate(patterns):
        if above[number] or (pattern.exception == ignored and pattern.matches(path)):
            matched[number] = 1
            ignored = not pattern.exception
    return ignored, bytes(matched)


def _relative(text: str) -> str:
    """Return the line with its path cleaned, and relative to the context."""
    mark, path = ("!", text[1:].strip(_BLANKS)) if text[0] == "!" else ("", text)
    path = _clean(path) if path else ""
    return mark + (path[1:] if len(path) > 1 and path[0] == "/" else path)


def _clean(path: str) -> str:
    """Return what ``filepath.Clean`` does, for which two leading slashes are one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _matcher(text: str) -> Callable[[str], bool]:
    """Return the test that the pattern stands for, by the original's ``Pattern.compile``."""
    expression, kind, i = "^", "exact", 0
    while i < len(text):
        start, char = i, text[i]
        i += 1
        if char == "*" and text[i : i + 1] == "*":
            i += 2 if text[i + 1 : i + 2] == "/" else 1
            if i < len(text):
                expression, kind = expression + "(.*/)?", "expression"
            elif kind == "exact":
                kind = "prefix"
            else:
                expression, kind = expression + ".*", "expression"
            kind = "suffix" if start == 0 else kind
        elif char in "*?":
            expression, kind = expression + ("[^/]*" if char == "*" else "[^/]"), "expression"
        elif char == "\\":
            expression, kind, i = expression + text[start : i + 1], "expression", i + 1
        elif char in "[]":
            expression, kind = expression + char, "expression"
        else:
            expression += "\\" + char if char in _PLAIN else char
    if kind == "exact":
        return text.__eq__
    if kind == "prefix":
        return lambda path: path.startswith(text[:-2])
    if kind == "suffix":
        # ``**/a`` is also of ``a``.
        return lambda path: path.endswith(text[2:]) or f"/{path}" == text[2:]
    return _expression(text, expression + "$")


def _expression(pattern: str, expression: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(_valid(expression), options)
    except re2.error:
        raise BadPattern(pattern, _BAD) from None
    return lambda path: compiled.search(_valid(path)) is not None


def _shown(pattern: str) -> str:
    """Return the pattern as a message has it: quoted, and not longer than a line."""
    return repr(_valid(pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…").decode())


def _valid(text: str) -> bytes:
    """Return the text in UTF-8, with one U+FFFD for each byte that is not, as Go has it."""
    return _STRAY.sub("\ufffd", text).encode()
