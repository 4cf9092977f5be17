"""Tests of a collector's claim: what is recorded, and what a successor believes of a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bus.replay import Position
from mist.paths import Paths
from tests.support.collecting import line
from workers.container import claim_file
from workers.container.claim_file import ClaimFile
from workers.container.claims import Claim, numbered, packed, unpacked
from workers.container.resume import ResumePoint

TERM = 1_000


def opened(tmp_path: Path, term: int = TERM) -> ClaimFile:
    """Open the claim of an application."""
    return ClaimFile.open(Paths(tmp_path, tmp_path), "container-1", term)


def begun(tmp_path: Path) -> ClaimFile:
    """Return a claim of an epoch with a status, two lines and READY."""
    claims = opened(tmp_path)
    claims.begin(7)
    claims.other(1)
    claims.lines(3, ResumePoint(line(2)))
    claims.other(4)
    claims.enter("a", ResumePoint(line(2)))
    return claims


def test_a_successor_finds_the_claim(tmp_path: Path) -> None:
    """Numbers, container and last line are in the file, without a close."""
    claims = begun(tmp_path)
    found = opened(tmp_path)
    assert found.inherited
    assert found.claim == claims.claim
    assert found.claim.position == Position(7, 4)
    assert (found.claim.others, found.claim.container) == ((1, 4), "a")


def test_a_predecessor_that_still_runs_changes_nothing(tmp_path: Path) -> None:
    """A collector that has been replaced writes to a file of its own."""
    claims = begun(tmp_path)
    found = opened(tmp_path)
    claims.lines(99, ResumePoint(line(3)))
    assert found.claim.seq == 4
    assert opened(tmp_path).claim.seq == 4


def test_another_broker_is_recognised(tmp_path: Path) -> None:
    """Under the same broker a new collector has no subscribers that wait for lines."""
    assert not opened(tmp_path).same_broker
    (tmp_path / "ingest").touch()
    begun(tmp_path)
    assert opened(tmp_path).same_broker
    (tmp_path / "ingest").rename(tmp_path / "old")
    (tmp_path / "ingest").touch()
    assert not opened(tmp_path).same_broker


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    """Without a file there is nothing to continue."""
    assert not opened(tmp_path).inherited
    assert list((tmp_path / "claims").iterdir()) == [tmp_path / "claims/container-1"]
    assert (tmp_path / "claims").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "claims/container-1").stat().st_mode & 0o777 == 0o600


def test_a_torn_record_leaves_the_one_before(tmp_path: Path) -> None:
    """A collector that died while it wrote had not sent that message yet."""
    claims = begun(tmp_path)
    before = claims.claim
    claims.lines(5, ResumePoint(line(3)))
    file = tmp_path / "claims/container-1"
    page = bytearray(file.read_bytes())
    page[claims.claim.serial % 2 * 2_048 + 20] ^= 0xFF
    file.write_bytes(page)
    assert opened(tmp_path).claim == before


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x00" * 4_096, b"\xff" * 4_096, bytes(range(256)) * 16, b"\xff" * 1_000_000],
)
def test_a_damaged_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the collector starts, and the file is usable afterwards."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims/container-1").write_bytes(content)
    claims = opened(tmp_path)
    assert claims.damaged
    assert not claims.inherited
    begun(tmp_path)
    claims = opened(tmp_path)
    assert claims.inherited
    assert not claims.damaged


@pytest.mark.parametrize(
    "claim",
    [
        Claim(epoch=0, seq=1),
        Claim(epoch=TERM, seq=1),
        Claim(epoch=2**63, seq=1),
        Claim(epoch=7, seq=-1),
        Claim(epoch=7, seq=2**62),
        Claim(epoch=7, seq=5, first=7),
        Claim(epoch=7, seq=5, first=0),
        Claim(epoch=7, seq=5, others=(6, 7)),
        Claim(epoch=7, seq=5, others=(3, 2)),
        Claim(epoch=7, seq=5, behind=6),
    ],
)
def test_an_impossible_claim_is_ignored(claim: Claim) -> None:
    """A record with the right checksum must make sense as well."""
    assert unpacked(packed(claim), TERM) is None


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "unreadable"])
def test_what_is_not_a_file_is_ignored(tmp_path: Path, kind: str) -> None:
    """A link, a pipe or a directory in its place is not read, and blocks nothing."""
    file = tmp_path / "claims/container-1"
    file.parent.mkdir()
    if kind == "link":
        (tmp_path / "other").write_bytes(b"other")
        file.symlink_to(tmp_path / "other")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.parent.rmdir()
        file.parent.write_bytes(b"")
    claims = opened(tmp_path)
    assert not claims.inherited
    claims.begin(7)  # works without a file, too
    if kind == "link":
        assert (tmp_path / "other").read_bytes() == b"other"


def test_a_history_with_old_numbers_changes_nothing(tmp_path: Path) -> None:
    """Only what is beyond the last number is recorded."""
    claims = begun(tmp_path)
    serial = claims.claim.serial
    claims.lines(3, ResumePoint(line(2)))
    claims.other(4)
    assert claims.claim.serial == serial


def test_another_container_begins_after_the_last_number(tmp_path: Path) -> None:
    """Numbers before the change are not those of the new container's lines."""
    claims = begun(tmp_path)
    claims.enter("b", None)
    assert (claims.claim.first, claims.claim.others, claims.claim.line) == (5, (), None)


def test_what_is_recorded_is_bounded(tmp_path: Path) -> None:
    """Thousands of statuses fit, because only the newest are known by number."""
    claims = begun(tmp_path)
    for number in range(5, 5_000):
        claims.other(number)
    claim = opened(tmp_path).claim
    assert claim.seq == 4_999
    assert claim.others == tuple(range(claim.first, 5_000))


@pytest.mark.parametrize(
    ("others", "first", "count", "expected"),
    [
        ((), 1, 4, (7, [4])),
        ((), 1, 50, (1, [10])),
        ((), 5, 50, (5, [6])),
        ((10,), 1, 3, (7, [3, 0])),
        ((8, 9), 1, 3, (6, [2, 0, 1])),
        ((1,), 1, 9, (1, [0, 9])),
        ((1, 2), 1, 99, (1, [0, 0, 8])),
        ((3,), 4, 99, (4, [7])),
        ((5, 10), 5, 0, (10, [0, 0])),
    ],
)
def test_lines_get_the_numbers_that_they_had(
    others: tuple[int, ...], first: int, count: int, expected: tuple[int, list[int]]
) -> None:
    """Lines are counted backwards from the last number, without those of other messages."""
    claim = Claim(epoch=7, seq=10, first=first, others=others)
    assert numbered(claim, count) == expected


def test_names_that_were_made_up_leave_few_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many claims of names, the newest stay; those of applications are not touched."""
    monkeypatch.setattr(claim_file, "_MAX_NAMED", 6)
    paths = Paths(tmp_path, tmp_path)
    claim_file.prune(paths)
    for number in range(6):
        clock = iter([100.0 - number] * 9).__next__
        opened = ClaimFile.open(paths, f"container-name:c{number}", TERM)
        opened._clock = clock
        opened.begin(7)
        opened.touch()
    (tmp_path / "claims" / "container-name:damaged").write_bytes(b"x")
    begun(tmp_path)
    claim_file.prune(paths)
    left = sorted(file.name for file in (tmp_path / "claims").iterdir())
    assert left == ["container-1", "container-name:c0", "container-name:c1", "container-name:c2"]
