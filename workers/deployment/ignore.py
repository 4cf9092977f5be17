"""Read the patterns of ``.dockerignore`` as the ``docker`` command does.

A port of ``github.com/moby/patternmatcher`` 0.6 and its ``ignorefile``, which ``docker
build`` uses, and of the walk in ``archive.TarWithOptions``.  Existing files rely on their
quirks.  As in the original, the patterns become RE2 expressions, so no pattern backtracks.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import re2

# The characters that Go's ``strings.TrimSpace`` removes.
_BLANKS: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# ``bufio.Scanner`` fails on longer lines.
_LINE_BYTES: Final = 65_535
# Characters that are special in a regular expression, but not in a pattern.  The original
# means to add ``|{}``, for which its table of bits is too short, so ``a|b`` is an alternative.
_PLAIN: Final = frozenset(".+()$")
# Go's scanner skips it at the beginning of a pattern.
_BYTE_ORDER_MARK: Final = "\ufeff"
# The elements that Go's ``filepath.Match`` accepts besides ``*``.
_ITEM: Final = r"(?:\\[^\udc80-\udcff]|[^\\\]\-\udc80-\udcff])"
_CLASS: Final = rf"\[\^?+(?:{_ITEM}(?:-{_ITEM})?)++\]"
_ELEMENT: Final = rf"(?:[^\[\\]|\\.|{_CLASS})"
_ELEMENTS: Final = re.compile(rf"{_ELEMENT}*+", re.DOTALL)
_RANGE: Final = re.compile(rf"({_ITEM})(?:-({_ITEM}))?", re.DOTALL)
# A part of a pattern up to the next ``*``; a ``*`` within brackets is one of their characters.
_CHUNK: Final = re.compile(r"\**+((?:\[(?:\\.|[^\]\\])*+\]?+|\\.|[^*\[])*+)", re.DOTALL)
# Bytes that are not UTF-8, as ``os.fsdecode`` represents them.
_STRAY: Final = re.compile(r"[\udc80-\udcff]")
# The maximum number of a pattern's characters in a message.
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
    """One line of the file; ``exception`` is True if it began with ``!``."""

    def __init__(self, text: str) -> None:
        self.exception = text.startswith("!")
        self.text = text[1:] if self.exception else text
        if not self.text:
            raise BadPattern(text, 'illegal exclusion pattern: "!"')
        if not _is_valid(self.text):
            raise BadPattern(text, _BAD)
        # Compiled on first use, as in the original.
        self._matches: Callable[[str], bool] | None = None

    def matches(self, path: str) -> bool:
        """Return True if the pattern matches this very path, not only a parent of it."""
        if self._matches is None:
            self._matches = _matcher(self.text)
        return self._matches(path)

    def may_be_below(self, folder: str) -> bool:
        """Return True if the pattern is an exception whose text begins with the folder."""
        return self.exception and f"{self.text}/".startswith(f"{folder}/")


def read(data: bytes) -> list[Pattern]:
    """Return the patterns of an ignore file; raise BadPattern for one that docker refuses."""
    patterns = []
    # A byte order mark at the beginning is ignored.
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if len(line) > _LINE_BYTES:
            raise BadPattern(os.fsdecode(line), f"the line has more than {_LINE_BYTES} bytes")
        text = os.fsdecode(line)
        if text.startswith("#") or not (text := text.strip(_BLANKS)):
            continue
        # Stripped twice, as docker does: ``!/`` becomes ``!``, which is an error.
        patterns.append(Pattern(_clean(_relative(text).strip(_BLANKS))))
    return patterns


def walk(root: Path, patterns: list[Pattern], check: Callable[[], None]) -> Iterator[str]:
    """Yield the paths below ``root`` that are not ignored, without Git's own directory.

    ``check`` is called for every path, ignored or not.
    """
    # A stack, because a repository may be deeper than Python's recursion limit.  It goes down
    # before it goes on, so that only one chain of directories keeps what matched above it.
    folders = [_Folder("", bytes(len(patterns)), _entries(root, ""))]
    exceptions = [pattern for pattern in patterns if pattern.exception]
    while folders:
        above = folders[-1]
        if not above.entries:
            folders.pop()
            continue
        entry = above.entries.pop()
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
            folders.append(_Folder(path, matched, _entries(root, path)))


def _entries(root: Path, path: str) -> list[os.DirEntry[str]]:
    with os.scandir(root / path) as entries:
        return list(entries)


class _Folder(NamedTuple):
    """A directory, and for each pattern whether it matches it or a parent of it."""

    path: str
    matched: bytes
    entries: list[os.DirEntry[str]]
    """The entries still to visit."""


def _judge(patterns: list[Pattern], path: str, above: bytes) -> tuple[bool, bytes]:
    """Return whether the path is ignored, and the patterns that match it or a parent of it."""
    ignored = False
    matched = bytearray(len(patterns))
    for number, pattern in enumerate(patterns):
        # A pattern that cannot change the verdict is not tried.
        if above[number] or (pattern.exception == ignored and pattern.matches(path)):
            matched[number] = 1
            ignored = not pattern.exception
    return ignored, bytes(matched)


def _relative(text: str) -> str:
    """Return the line with a cleaned path, relative to the context."""
    mark, path = ("!", text[1:].strip(_BLANKS)) if text[0] == "!" else ("", text)
    path = _clean(path) if path else ""
    return mark + (path[1:] if len(path) > 1 and path[0] == "/" else path)


def _clean(path: str) -> str:
    """Return the result of Go's ``filepath.Clean``, which reduces two leading slashes to one."""
    # POSIX keeps two leading slashes, and so does Python.
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _is_valid(text: str) -> bool:
    """Return True unless Go's ``filepath.Match(text, ".")`` fails, as the original tests it.

    It looks at the second chunk only if the first one matches, so later errors pass.
    """
    first = _CHUNK.match(text)
    assert first is not None
    if not _ELEMENTS.fullmatch(first[1]):
        return False
    second = _CHUNK.match(text, first.end())
    assert second is not None
    return not _matches_dot(first[1]) or _ELEMENTS.fullmatch(second[1]) is not None


def _matches_dot(element: str) -> bool:
    """Return True if the text is one element, which matches a dot."""
    if element in (".", "?", "\\."):
        return True
    if not re.fullmatch(_CLASS, element, re.DOTALL):
        return False
    negated = element[1] == "^"
    ranges = _RANGE.findall(element[1 + negated : -1])
    found = any(low[-1] <= "." <= (high or low)[-1] for low, high in ranges)
    return found != negated


def _matcher(text: str) -> Callable[[str], bool]:
    """Return the pattern's test, following the original's ``Pattern.compile``."""
    first = int(text.startswith(_BYTE_ORDER_MARK))
    expression, kind, i = "^", "exact", first
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
            kind = "suffix" if start == first else kind
        elif char in "*?":
            expression, kind = expression + ("[^/]*" if char == "*" else "[^/]"), "expression"
        elif char == "\\":
            expression, kind, i = expression + text[start : i + 1], "expression", i + 1
        elif char in "[]":
            expression, kind = expression + char, "expression"
        else:
            expression += "\\" + char if char in _PLAIN else char
    # The original tests patterns without other wildcards by string comparison.
    if kind == "exact":
        return text.__eq__
    if kind == "prefix":
        return lambda path: path.startswith(text[:-2])
    if kind == "suffix":
        # ``**/a`` also matches ``a`` itself.  After a mark the original compares with a part of
        # the mark, so nothing matches.
        ending = "\0" if first else text[2:]
        return lambda path: path.endswith(ending) or f"/{path}" == ending
    return _expression(text, expression + "$")


def _expression(pattern: str, expression: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False  # RE2 would write them to stderr
    try:
        compiled = re2.compile(_valid(expression), options)
    except re2.error:
        raise BadPattern(pattern, _BAD) from None
    return lambda path: compiled.search(_valid(path)) is not None


def _shown(pattern: str) -> str:
    """Return the pattern for a message: quoted, and truncated to a line."""
    return repr(_valid(pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…").decode())


def _valid(text: str) -> bytes:
    """Return the text in UTF-8; each invalid byte becomes U+FFFD, as in Go."""
    return _STRAY.sub("\ufffd", text).encode()
