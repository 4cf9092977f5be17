"""Tests of docker-py's client with any user configuration of Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine_server import EngineServer
from workers.deployment.client import connect


@pytest.mark.parametrize(
    "configuration",
    [
        '{"auths": {"r.example": {"auth": "%%%"}}}',
        '{"auths": {"r.example": null}}',
        '{"auths": 3}',
        '{"proxies": 3}',
        '{"credsStore": "desktop"}',
        "[]",
        "not JSON",
    ],
)
def test_odd_configuration_fails_no_deployment(
    server: EngineServer, configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid Docker configuration fails no deployment, because logins are read elsewhere."""
    (tmp_path / "config.json").write_text(configuration)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    server.answer("/version", {"ApiVersion": "1.41"})
    client = connect(server.settings)
    assert client.api_version == "1.41"
    client.close()
