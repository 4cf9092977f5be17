"""Tests of the web application's start."""

from __future__ import annotations

import pytest

from api import main
from mist.errors import SettingsError


def test_a_proxy_may_not_be_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """If every address is trusted, the header with the user's address must not be."""
    monkeypatch.setenv("MIST_AUTH_PROXY_HEADER", "Remote-Email")
    monkeypatch.setenv("MIST_SERVER_FORWARDED_ALLOW_IPS", "*")
    with pytest.raises(SettingsError, match=r"auth\.proxy_header.*forwarded_allow_ips"):
        main.build()
