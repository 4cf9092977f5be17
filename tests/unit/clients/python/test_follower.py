"""The decisions about connections, without I/O."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mist_client import Reconnecting, Retry, StreamError
from mist_client.close_codes import explain_close
from mist_client.follower import Follower
from mist_client.logs import ContainerLog
from mist_client.retry import Backoff

from tests.support.log_service import message, status


class Played:
    """A stream with a clock and without chance."""

    def __init__(self, **retry: Any) -> None:
        self.now = 0.0
        source = ContainerLog({"appId": 1}, tail=None, since=None, stopped=False)
        source.clock = lambda: self.now
        options = Retry(**retry)
        self.follower = Follower(source, options, Backoff(options, chance=lambda: 1.0))

    def live(self, seconds: float) -> None:
        """Be live for a time."""
        self.follower.connect()
        list(self.follower.receive(status()))
        self.now += seconds


@pytest.mark.parametrize("code", [4401, 4403, 4404, 4409, 4410, 4499])
def test_refusals_are_final(code: int) -> None:
    """Another attempt would not help."""
    with pytest.raises(StreamError) as caught:
        Played().follower.closed(code, "because")
    assert caught.value.reason.close_code == code
    assert str(caught.value) == "because"


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 1014, 4408, 4425, 4429, 3000])
def test_other_ends_are_losses(code: int) -> None:
    """A close frame without the end of the stream, too, as a proxy sends it."""
    lost = Played().follower.closed(code)
    assert lost is not None
    assert lost.reason.close_code == code
    assert lost.delay <= 0.5


@pytest.mark.parametrize(
    ("status_code", "code"),
    [
        (400, "refused"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not-found"),
        (302, "refused"),
    ],
)
def test_a_handshake_that_is_refused_is_final(status_code: int, code: str) -> None:
    """The service answered, and would answer the same again."""
    with pytest.raises(StreamError, match="said so") as caught:
        Played().follower.refused(status_code, "said so")
    assert caught.value.reason.code == code


@pytest.mark.parametrize("status_code", [408, 425, 429, 500, 502, 503, 504])
def test_a_handshake_that_may_succeed_later_is_tried_again(status_code: int) -> None:
    """``Retry-After`` is respected up to the longest delay."""
    played = Played()
    lost = played.follower.refused(status_code, "later", 3.0)
    assert lost is not None
    assert (lost.reason.code, lost.delay, played.follower.delay) == ("unavailable", 3.0, 3.0)
    again = played.follower.refused(status_code, "later", 3_600.0)
    assert again is not None
    assert again.delay == 10.0


def test_an_untrusted_certificate_is_final() -> None:
    """Nothing is sent to whoever has it."""
    with pytest.raises(StreamError, match="self-signed"):
        Played().follower.untrusted("self-signed")


def test_delays_begin_again_after_a_good_connection() -> None:
    """One that lasted a second was good; one that broke at once was not."""
    played = Played()
    delays = []
    for seconds in (0.5, 0.5, 0.5, 1.0, 0.5):
        played.live(seconds)
        lost = played.follower.closed(1006)
        assert lost is not None
        delays.append(lost.delay)
    assert delays == pytest.approx([0.2, 0.3, 0.45, 0.2, 0.3])


@pytest.mark.parametrize("was_live", [False, True])
def test_it_gives_up_after_a_time_without_a_connection(was_live: bool) -> None:
    """The time counts from the loss, not from the beginning."""
    played = Played(give_up_after=5)
    if was_live:
        played.live(60)
    assert played.follower.failed("refused") is not None
    played.now += 4.9
    assert played.follower.failed("refused") is not None
    played.now += 0.2
    with pytest.raises(StreamError, match="refused"):
        played.follower.failed("refused")


def test_it_gives_up_at_once_if_that_is_wanted() -> None:
    """With 0, the first loss is an error."""
    played = Played(give_up_after=0)
    played.live(60)
    with pytest.raises(StreamError, match="The connection was lost"):
        played.follower.closed(1006)


def test_a_stopped_stream_loses_nothing() -> None:
    """The close frame of our own is not a loss."""
    played = Played()
    played.live(1)
    played.follower.stop()
    assert played.follower.closed(1000) is None
    assert played.follower.over


def test_only_the_first_of_several_failures_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A program that shows only warnings says once that the service is away, and not when back."""
    caplog.set_level(logging.DEBUG, "mist_client")
    played = Played()
    played.live(1)
    for _ in range(3):
        assert isinstance(played.follower.failed("The service cannot be reached"), Reconnecting)
    played.live(1)
    played.follower.closed(1012)
    assert [record.levelname for record in caplog.records] == [
        "WARNING",
        "DEBUG",
        "DEBUG",
        "INFO",
        "WARNING",
    ]
    assert "trying again in 0.2 s" in caplog.messages[0]


def test_the_reason_is_the_services_own_words_or_ours() -> None:
    """An error message counts more than the text of the close frame."""
    played = Played()
    played.live(1)
    list(played.follower.receive(message("error", message="Engine away")))
    lost = played.follower.closed(1013, "other words")
    assert lost is not None
    assert lost.reason.message == "Engine away"
    assert explain_close(1013, "other words").reason.message == "other words"
    assert explain_close(1013).reason.message == "The service cannot serve this now"
