"""Tests of the supervisor's end of sd_notify(3), with the web tier's end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.errors import BusError
from mist.notify import Notifier
from supervisor.notify import NotifySocket


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[NotifySocket]:
    """A socket that is listened to."""
    notices = NotifySocket(tmp_path / "notify")
    yield notices
    notices.close()


def test_what_is_said_is_heard(notices: NotifySocket) -> None:
    """Each message arrives separately, in order, and once."""
    notifier = Notifier({"NOTIFY_SOCKET": str(notices.path)})
    notifier.ready()
    notifier.giving_up("a bug = a bug")
    assert list(notices.take()) == [{"READY": "1"}, {"STOPPING": "1", "STATUS": "a bug = a bug"}]
    assert list(notices.take()) == []


def test_only_this_user_is_heard(notices: NotifySocket) -> None:
    """The mode of the socket lets only this user send."""
    assert notices.path.stat().st_mode & 0o777 == 0o600


def test_nonsense_is_no_message(notices: NotifySocket) -> None:
    """Malformed datagrams are ignored."""
    notifier = Notifier({"NOTIFY_SOCKET": str(notices.path)})
    notifier._send("")
    notifier._send("nonsense")
    assert [notice.get("READY") for notice in notices.take()] == [None, None]


def test_a_socket_of_a_service_that_was_killed(notices: NotifySocket) -> None:
    """The leftover socket of a killed service is replaced and finally removed."""
    after = NotifySocket(notices.path)
    after.close()
    assert not notices.path.exists()


def test_a_place_that_cannot_be_had(tmp_path: Path) -> None:
    """A socket path that cannot be used is named."""
    with pytest.raises(BusError, match=str(tmp_path / "none")):
        NotifySocket(tmp_path / "none" / "notify")
