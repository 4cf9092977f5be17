"""Tests of what the broker says about the address of its TCP tap."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from bus.tap.curve import Curve
from mist.errors import SettingsError
from mist.paths import Paths
from mist.settings import BusSettings, Settings


@pytest.mark.parametrize(
    "address", ["nonsense", "tcp://0.0.0.0:8421", "127.0.0.1:0", "127.0.0.1:65536", "::1:80"]
)
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    """An invalid address is reported with the setting before anything is bound, and not retried."""
    settings = Settings(bus=BusSettings(tap_bind=address))
    with zmq.Context() as context, pytest.raises(SettingsError, match=r"^bus\.tap_bind: "):
        Curve(context, settings, Paths(tmp_path, tmp_path))
