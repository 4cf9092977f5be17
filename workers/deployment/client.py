"""docker-py's client, for the many requests of a deployment."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult

import docker
import requests
from docker.errors import DockerException
from docker.tls import TLSConfig

from mist import heartbeat
from mist.errors import EngineUnreachable
from mist.settings import Settings
from workers import engine

# The wait between two attempts to reach an engine that is away, in seconds.
RETRY_SECONDS: Final = 1.0


def connect(settings: Settings) -> docker.APIClient:
    """Return docker-py's low-level client; raise EngineUnreachable if the engine does not answer.

    Its calls raise EngineUnreachable, too, where docker-py lets the exceptions of
    ``requests`` through.  The engine's own errors remain ``docker.errors``.
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
    """Return the address as docker-py expects it: an absolute path, or the actual scheme."""
    # docker-py would resolve a relative path from the root directory.
    if parts.scheme == "unix":
        return f"unix://{Path(engine.unix_path(parts)).absolute()}"
    return f"{'https' if tls else 'http'}://{parts.netloc}"


@contextmanager
def _no_configuration() -> Iterator[None]:
    """Keep docker-py from reading the user's ``config.json``.

    docker-py fails on entries that the ``docker`` command accepts, such as an ``auth`` that
    is not base64.  ``registries`` reads the credentials that a build needs.
    """
    # docker-py reads the path from the environment, and has no parameter that disables it.
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
    """docker-py's client with this project's exceptions."""

    def __init__(self, address: str, **arguments: Any) -> None:
        # Set first, because the parent's constructor already requests the engine's version.
        self._address = address
        with _no_configuration():
            super().__init__(**arguments)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        # docker-py adds its timeout to each request; a stop may take longer.
        seconds = kwargs.get("timeout") or self.timeout
        try:
            with heartbeat.blocking(float(seconds)):
                return super().request(*args, **kwargs)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise EngineUnreachable(self._address, engine.reason(error)) from None
