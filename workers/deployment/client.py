"""docker-py's client of the engine, for whoever talks to it a lot."""

from __future__ import annotations

import math
import os
from typing import Any

import docker
import requests
from docker.errors import DockerException, TLSParameterError
from docker.utils import kwargs_from_env

from mist.errors import EngineUnreachable, SettingsError
from mist.settings import Settings
from workers import engine


def connect(settings: Settings) -> docker.APIClient:
    """docker-py's low-level client; EngineUnreachable if nobody answers.

    Its calls raise EngineUnreachable too where docker-py lets the exceptions of
    ``requests`` through; answers that are errors stay ``docker.errors``.
    """
    address = engine.host(settings)
    engine.split(address)
    try:
        arguments = kwargs_from_env({**os.environ, "DOCKER_HOST": address})
        timeout = math.ceil(settings.engine.timeout_seconds)
        return _Client(version="auto", timeout=timeout, **arguments)
    except TLSParameterError as error:
        raise SettingsError("DOCKER_CERT_PATH", str(error)) from None
    except DockerException as error:
        raise EngineUnreachable(address, engine.reason(error)) from None


class _Client(docker.APIClient):
    """docker-py's client, with the exceptions of this project."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            return super().request(*args, **kwargs)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise EngineUnreachable(self.base_url, engine.reason(error)) from None
