"""The files of kept logs: what is written is read, and damage is told."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.paths import Paths
from workers import kept_logs
from workers.kept_logs import About, Damaged, KeptLog, Segment, Writer
from workers.reader.entries import Entry

ABOUT = About("ab" * 32, tty=True)


def stamp(number: int) -> str:
    """Return a time stamp of 30 bytes."""
    return f"2025-01-15T10:30:00.{number:09d}Z"


ENTRIES = st.builds(
    lambda number, kind, text: (stamp(number).encode(), kind, text.replace(b"\n", b"")),
    st.integers(0, 999_999_999),
    st.sampled_from([1, 2]),
    st.binary(max_size=50),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a kept log."""
    return Paths(tmp_path, tmp_path).kept_log(3, 7)


def write(path: Path, *segments: list[Entry]) -> None:
    """Write a file with segments, the oldest first."""
    writer = Writer(path)
    for segment in reversed(segments):
        writer.add(segment)
    writer.finish(ABOUT)


@given(segments=st.lists(st.lists(ENTRIES, min_size=1), min_size=1, max_size=5))
def test_lines_of_any_bytes_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, segments: list[list[Entry]]
) -> None:
    """The segments come back in order, with their bounds."""
    path = tmp_path_factory.mktemp("kept") / "1" / "1.zip"
    write(path, *segments)
    log = KeptLog(path, 1)
    assert log.about == ABOUT
    assert [log.read(member) for member in log.members] == segments
    for member, segment in zip(log.members, segments, strict=True):
        stamps = [entry[0].decode() for entry in segment]
        assert member.segment == Segment(min(stamps), max(stamps), len(segment))
    log.close()


def test_only_the_service_reads_a_file(path: Path) -> None:
    """The web tier's group has no access, whatever the umask is."""
    before = os.umask(0)
    try:
        write(path, [(stamp(1).encode(), 1, b"x")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_unfinished_file_is_not_seen(path: Path, tmp_path: Path) -> None:
    """Nothing has the file's name before it is complete, and a new writer begins again."""
    paths = Paths(tmp_path, tmp_path)
    Writer(path).add([(stamp(1).encode(), 1, b"killed")])
    assert list(kept_logs.deployments_of(paths, 3)) == []
    discarded = Writer(path)
    discarded.discard()
    assert list(path.parent.iterdir()) == []
    write(path, [(stamp(2).encode(), 1, b"whole")])
    assert list(kept_logs.deployments_of(paths, 3)) == [7]
    kept_logs.discard(paths, 3, 7)
    kept_logs.discard(paths, 3, 7)
    assert list(path.parent.iterdir()) == []


def test_deployments_come_in_their_order(path: Path, tmp_path: Path) -> None:
    """By number and not by name; other files are no kept logs."""
    path.parent.mkdir(parents=True)
    for name in ("10.zip", "9.zip", "x.zip", "8.part", "100.zip"):
        (path.parent / name).touch()
    paths = Paths(tmp_path, tmp_path)
    assert list(kept_logs.deployments_of(paths, 3)) == [9, 10, 100]
    assert list(kept_logs.deployments_of(paths, 4)) == []


@given(data=st.data())
def test_damage_anywhere_is_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A file with other bytes gives the written lines, or raises Damaged."""
    path = tmp_path_factory.mktemp("kept") / "1" / "1.zip"
    segments = [
        [(stamp(number).encode(), 1, b"line %d" % number) for number in range(first, first + 50)]
        for first in (0, 50, 100)
    ]
    write(path, *segments)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        log = KeptLog(path, 5)
    except Damaged:
        return
    for member in log.members:
        try:
            entries = log.read(member)
        except Damaged:
            continue
        assert entries in segments
    log.close()


def test_a_foreign_archive_is_damaged(path: Path) -> None:
    """An archive without our comments is not a kept log."""
    path.parent.mkdir(parents=True)
    with ZipFile(path, "w") as archive:
        archive.writestr("a.log", "x")
    with pytest.raises(Damaged, match="the log that deployment 7 kept is damaged"):
        KeptLog(path, 7)
    path.unlink()
    with pytest.raises(Damaged):
        KeptLog(path, 7)
