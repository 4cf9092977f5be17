"""CURVE for the tap's port: the server's keys, and the list of the clients' keys.

The server's key pair is created at the first use.  The clients' public keys are the
``*.key`` files (CURVE certificates as pyzmq writes them) in ``bus.tap_keys``, or in
``tap/clients`` in MIST_HOME.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import structlog
import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.auth.thread import ThreadAuthenticator

from mist.addresses import split_address
from mist.errors import BusError, SettingsError, UsageError
from mist.paths import Paths
from mist.settings import Settings

log = structlog.get_logger(__name__)


class AllowList:
    """The client keys that may connect, checked by ThreadAuthenticator at each handshake."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002 - pyzmq's signature
        """Return True if ``key`` (Z85) is on the list.  Skip files that cannot be read."""
        # Read the files at each handshake, so that a new or removed key needs no restart.
        for path in sorted(self._directory.glob("*.key")):
            try:
                public, _secret = load_certificate(path)
            except (OSError, ValueError) as error:
                log.warning("tap_key_unusable", file=str(path), reason=str(error))
                continue
            if public == key:
                return True
        return False


class Curve:
    """Bind sockets to ``bus.tap_bind`` that accept only clients with a listed key."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, paths: Paths
    ) -> None:
        self._address = settings.bus.tap_bind
        try:
            split_address(self._address)
        except UsageError as error:
            raise SettingsError("bus.tap_bind", str(error)) from None
        self._context = context
        keys = settings.bus.tap_keys
        self._home = paths.home / "tap"
        self._allowed = Path(keys) if keys else self._home / "clients"
        self._authenticator: ThreadAuthenticator | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()

    def bind(self, socket: zmq.Socket[bytes]) -> None:
        """Bind a socket, which is never without CURVE."""
        self._allowed.mkdir(parents=True, exist_ok=True, mode=0o750)
        socket.curve_publickey, socket.curve_secretkey = self._key_pair()
        socket.curve_server = True
        self._authenticate()
        try:
            socket.bind(f"tcp://{self._address}")
        except zmq.ZMQError as error:
            raise BusError(f"bus.tap_bind: cannot listen on {self._address}: {error}") from None
        log.info("tap_listening", address=self._address, keys=str(self._allowed))

    def _authenticate(self) -> None:
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback("*", AllowList(self._allowed))

    def _key_pair(self) -> tuple[bytes, bytes]:
        secret = self._home / "server.key_secret"
        if not secret.exists():
            self._home.mkdir(parents=True, exist_ok=True, mode=0o750)
            # pyzmq creates the files with the process's umask; the secret key is for this user.
            mask = os.umask(0o077)
            try:
                create_certificates(self._home, "server")
            finally:
                os.umask(mask)
        public, private = load_certificate(secret)
        if private is None:
            raise BusError(f"{secret} holds no secret key")
        return public, private
