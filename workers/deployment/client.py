"""docker-py's client of the engine, for whoever talks to it a lot."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import docker
import requests
from docker.errors import DockerException
from docker.tls import TLSConfig

from mist.errors import EngineUnreachable
from mist.settings import Settings
from workers import engine


def connect(settings: Settings) -> docker.APIClient:
    """docker-py's low-level client; EngineUnreachable if nobody answers.

    Its calls raise EngineUnreachable too where docker-py lets the exceptions of
    ``requests`` through; answers that are errors stay ``docker.errors``.
    """
    address = engine.host(settings)
    parts = engine.split(address)
    files = engine.certificates(parts)
    try:
        return _Client(
            address,
            base_url=_base_url(parts, tls=files is not None),
            version="auto",
            timeout=math.ceil(settings.engine.timeout_seconds),
            tls=files
            and TLSConfig((files.certificate, files.key), files.authority, verify=files.verify),
        )
    except DockerException as error:
        raise EngineUnreachable(address, engine.reason(error)) from None


def _base_url(parts: SplitResult, *, tls: bool) -> str:
    """The address as docker-py wants it: absolute, and with the protocol that is spoken."""
    if parts.scheme == "unix":
        return f"unix://{Path(engine.unix_path(parts)).absolute()}"
    return f"{'https' if tls else 'http'}://{parts.netloc}"


@contextmanager
def _no_configuration() -> Iterator[None]:
    """Keep docker-py from reading the user's ``config.json``.

    It fails on entries that Docker's own command accepts, such as an ``auth`` that is
    not base64.  ``registries`` reads the logins that a build needs.
    """
    before = os.environ.get("DOCKER_CONFIG")
    with tempfile.TemporaryDirectory(prefix="mist-") as folder:
        Path(folder, "config.json").write_text("{}")
        os.environ["DOCKER_CONFIG"] = folder
        try:
            yield
        finally:
            os.environ.pop("DOCKER_CONFIG")
            if before is not None:
                os.environ["DOCKER_CONFIG"] = before


class _Client(docker.APIClient):
    """docker-py's client, with the exceptions of this project."""

    def __init__(self, address: str, **arguments: Any) -> None:
        # Before the rest, which asks the engine for its version.
        self._address = address
        with _no_configuration():
            super().__init__(**arguments)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            return super().request(*args, **kwargs)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise EngineUnreachable(self._address, engine.reason(error)) from None
