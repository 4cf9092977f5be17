"""Fencing tokens grow whatever the clock does."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.fencing import FencingTokens


def test_tokens_grow_when_the_clock_is_set_back(tmp_path: Path) -> None:
    """Tokens count on from the last one until the clock has caught up."""
    times = iter([100, 100, 40, 41, 200])
    token = FencingTokens(tmp_path / "fencing", lambda: next(times))
    assert [token() for _ in range(5)] == [100, 101, 102, 103, 200]


def test_tokens_grow_across_a_restart(tmp_path: Path) -> None:
    """A supervisor that starts after the clock was set back goes on from the last token."""
    file = tmp_path / "fencing"
    assert FencingTokens(file, lambda: 3_600)() == 3_600
    again = FencingTokens(file, lambda: 7)
    assert [again(), again()] == [3_601, 3_602]
    assert [path.name for path in tmp_path.iterdir()] == ["fencing"]


@pytest.mark.parametrize("content", [b"", b"x", b"-5", b"9" * 30, b"\xff", b"1.5"])
def test_a_damaged_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    """The clock alone decides then."""
    file = tmp_path / "fencing"
    file.write_bytes(content)
    assert FencingTokens(file, lambda: 5)() == 5


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """Without the file, tokens still grow within one process."""
    token = FencingTokens(tmp_path / "missing" / "fencing", lambda: 5)
    assert [token(), token()] == [5, 6]
