"""Tests of what the service's own log shows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import structlog

from mist import logs
from mist.settings import Settings

log = structlog.get_logger(__name__)


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    """Restore structlog's configuration."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["console", "json", "logfmt"])
def test_a_traceback_shows_no_values(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback shows no local variables, which may hold passwords and secrets."""
    logs.configure(msgspec.convert({"log": {"format": style}}, Settings))
    _fail("hunter" + str(2))
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "hunter2" not in shown


def _fail(secret: str) -> None:
    try:
        _ = len(secret) / 0
    except ZeroDivisionError:
        log.exception("it failed")


@pytest.mark.parametrize("style", ["console", "json", "logfmt"])
def test_what_comes_from_outside_gives_no_orders(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are escaped, for the operator's terminal and for line-based programs."""
    logs.configure(msgspec.convert({"log": {"format": style}}, Settings))
    log.info("login_refused", address="a\x1b]52;c;aGk=\x07\x9b6n\u202e\nlevel=error")
    shown = capsys.readouterr().err
    assert not {"\x07", "\x9b", "\u202e"} & set(shown)
    assert "\x1b]" not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("style", ["console", "json", "logfmt"])
def test_an_error_gives_no_orders(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in the text of an exception are escaped, also within its traceback."""
    logs.configure(msgspec.convert({"log": {"format": style}}, Settings))
    error = ValueError("".join(["a\x1b]52;c;aGk=\x07", "\x9b6n\u202e\r"]))
    log.info("refused", reason=error)
    try:
        raise error
    except ValueError:
        log.exception("it failed")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert not {"\x07", "\x9b", "\u202e", "\r"} & set(shown)
    assert "\x1b]" not in shown
    assert r"\u001b" not in shown
