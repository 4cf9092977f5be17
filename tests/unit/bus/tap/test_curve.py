"""Tests of the address and the keys of the TCP tap."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import zmq
from zmq.auth import create_certificates, load_certificate

from bus.tap.curve import AllowList, Curve
from mist.errors import BusError, SettingsError
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


class TestAllowList:
    """The keys that may connect."""

    def test_only_listed_keys_may_connect(self, tmp_path: Path) -> None:
        """A key may connect from the moment its file appears until the file is removed."""
        allowed = AllowList(tmp_path / "clients")
        (tmp_path / "clients").mkdir()
        file, _ = create_certificates(tmp_path, "mine")
        key, _ = load_certificate(file)
        assert not allowed.callback("*", key)
        listed = Path(file).rename(tmp_path / "clients/mine.key")
        assert allowed.callback("*", key)
        assert not allowed.callback("*", zmq.curve_keypair()[0])
        listed.unlink()
        assert not allowed.callback("*", key)

    def test_a_file_without_a_key_is_skipped(self, tmp_path: Path) -> None:
        """A file that holds no key does not keep the keys of the others from connecting."""
        (tmp_path / "a.key").write_text("nothing")
        (tmp_path / "b.key").mkdir()
        key, _ = load_certificate(create_certificates(tmp_path, "mine")[0])
        assert AllowList(tmp_path).callback("*", key)


def test_the_server_keeps_its_keys(tmp_path: Path) -> None:
    """The key pair is created once, and the secret key is for this user alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings, paths = Settings(bus=BusSettings(tap_bind=address)), Paths(tmp_path, tmp_path)
    keys = []
    for _ in range(2):
        with (
            zmq.Context() as context,
            Curve(context, settings, paths) as curve,
            context.socket(zmq.XPUB) as bound,
        ):
            curve.bind(bound)
            keys.append((tmp_path / "tap/server.key_secret").read_bytes())
    assert keys[0] == keys[1]
    assert (tmp_path / "tap/server.key_secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tap/clients").stat().st_mode & 0o007 == 0


def test_a_key_file_without_a_secret_key_is_reported(tmp_path: Path) -> None:
    """The file is named, and the port stays closed."""
    settings = Settings(bus=BusSettings(tap_bind="127.0.0.1:1"))
    (tmp_path / "tap").mkdir()
    public, secret = create_certificates(tmp_path / "tap", "server")
    Path(secret).write_bytes(Path(public).read_bytes())
    with (
        zmq.Context() as context,
        Curve(context, settings, Paths(tmp_path, tmp_path)) as curve,
        context.socket(zmq.XPUB) as bound,
        pytest.raises(BusError, match="key_secret holds no secret key"),
    ):
        curve.bind(bound)
