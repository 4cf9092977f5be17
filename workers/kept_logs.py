"""The logs of replaced containers, one file for each deployment that replaced one.

A file is a zip archive, because it has an index at its end, a checksum for each member, and
tools that every system has.  Each member is a segment of the log, written with the newest
first.  The comment of a member says which times and how many lines it has, so that a reader
unpacks only what it needs, in either direction.

A line of a segment is ``TIMESTAMP STREAM TEXT``, with the number of the stream as in the
engine's own frames.  A file gets its name only when it is complete.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import msgspec

from mist.errors import EngineError
from mist.ids import parse_id
from mist.paths import Paths, owner_of_new
from workers.reader.entries import Entry

# A segment is unpacked as a whole, and costs some memory for each of its lines besides.
SEGMENT_BYTES: Final = 262_144

# The bytes of a line besides its text, as ``docker logs --timestamps`` prints it.
LINE_BYTES: Final = 32

# The first segment written is the newest, so names count down.
_NEWEST: Final = 999_999_999

# Levels above it take twice the time and more for a few percent.
_LEVEL: Final = 4

# zipfile raises these for damaged archives, depending on which part is damaged.
_DAMAGE: Final = (BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)


class Damaged(EngineError):
    """A kept log that cannot be read; the deployment that kept it names it."""

    def __init__(self, deployment: int) -> None:
        super().__init__(deployment)
        self.deployment = deployment

    def __str__(self) -> str:
        return f"the log that deployment {self.deployment} kept is damaged; lines are missing"


class About(msgspec.Struct, frozen=True):
    """The comment of an archive."""

    container: str
    """The full id of the replaced container."""
    tty: bool


class Segment(msgspec.Struct, frozen=True):
    """The comment of a member: its earliest and latest time stamps, and its lines."""

    first: str
    last: str
    lines: int


class Member(NamedTuple):
    """A segment and its place in the archive."""

    info: ZipInfo
    segment: Segment


class Writer:
    """Writes one file, the newest lines first; nobody sees it before ``finish``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (path.parent.parent, path.parent):
            os.chown(folder, *owner_of_new(folder.parent))
        self._path = path
        self._part = _part(path)
        self._part.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self._part, flags, 0o600), "w+b")
        os.fchown(self._file.fileno(), *owner_of_new(path.parent))
        self._archive = ZipFile(self._file, "w", ZIP_DEFLATED, compresslevel=_LEVEL)
        self._number = _NEWEST

    def add(self, entries: list[Entry]) -> None:
        """Write the lines before those written last, the oldest first."""
        stamps = [entry[0] for entry in entries]
        segment = Segment(min(stamps).decode(), max(stamps).decode(), len(entries))
        info = ZipInfo(f"{self._number}.log")
        info.compress_type = ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        info.comment = msgspec.json.encode(segment)
        lines = [b"%b %d %b\n" % entry for entry in entries]
        self._archive.writestr(info, b"".join(lines), compresslevel=_LEVEL)
        self._number -= 1

    def finish(self, about: About) -> None:
        """Complete the file and give it its name."""
        self._archive.comment = msgspec.json.encode(about)
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())  # the container is removed next
        self._file.close()
        self._part.rename(self._path)

    def discard(self) -> None:
        """Remove an incomplete file, if it is there."""
        # On a full disk the archive cannot be closed.
        with suppress(OSError, ValueError):
            self._archive.close()
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


class KeptLog:
    """One file, open for reading; raise Damaged where it cannot be read."""

    def __init__(self, path: Path, deployment: int) -> None:
        self.deployment = deployment
        try:
            self._archive = ZipFile(path)
            self.about = msgspec.json.decode(self._archive.comment, type=About)
            named = {info.filename: info for info in self._archive.infolist()}
            self.members = [
                Member(named[name], msgspec.json.decode(named[name].comment, type=Segment))
                for name in sorted(named)
            ]
            """The segments, the oldest first."""
        except (OSError, msgspec.MsgspecError, *_DAMAGE):
            raise Damaged(deployment) from None

    @property
    def first(self) -> str:
        """The earliest time stamp; without lines a text after every time stamp."""
        return min((member.segment.first for member in self.members), default="~")

    @property
    def last(self) -> str:
        """The latest time stamp; empty without lines."""
        return max((member.segment.last for member in self.members), default="")

    def read(self, member: Member) -> list[Entry]:
        """Return the lines of a segment, the oldest first."""
        try:
            data = self._archive.read(member.info)
            entries = [_entry(line) for line in data.split(b"\n")[:-1]]
        except (OSError, IndexError, *_DAMAGE):
            raise Damaged(self.deployment) from None
        return entries

    def close(self) -> None:
        """Close the file."""
        self._archive.close()


def deployments_of(paths: Paths, app_id: int) -> Iterator[int]:
    """Yield the deployments of an application that kept a log, in their order."""
    folder = paths.kept_log(app_id, 1).parent
    names = []
    with suppress(FileNotFoundError):
        names = [path.stem for path in folder.iterdir() if path.suffix == ".zip"]
    yield from sorted(number for name in names if (number := parse_id(name)) is not None)


def discard(paths: Paths, app_id: int, deployment: int) -> None:
    """Remove what a deployment has kept."""
    path = paths.kept_log(app_id, deployment)
    for each in (path, _part(path)):
        each.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_suffix(".part")


def _entry(line: bytes) -> Entry:
    return line[:30], line[31] - 48, line[33:]
