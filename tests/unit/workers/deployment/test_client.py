"""Tests of docker-py's client with any user configuration of Docker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mist.settings import EngineSettings, Settings
from workers.deployment.client import connect


class _Engine(BaseHTTPRequestHandler):
    """An engine that only reports its version."""

    def do_GET(self) -> None:
        body = b'{"ApiVersion": "1.41"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress the log."""


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Settings for the engine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Engine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Settings(engine=EngineSettings(host=f"tcp://127.0.0.1:{server.server_port}"))
    server.shutdown()
    thread.join()
    server.server_close()


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
    settings: Settings, configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid Docker configuration fails no deployment, because logins are read elsewhere."""
    (tmp_path / "config.json").write_text(configuration)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    client = connect(settings)
    assert client.api_version == "1.41"
    client.close()
