"""Tests of the plain engine client against good and bad servers."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mist.errors import EngineError, EngineUnreachable, SettingsError
from mist.settings import EngineSettings, Settings
from workers import engine
from workers.container.container import compressed, rotates_at
from workers.deployment.client import connect

Serve = Callable[[bytes], Settings]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(answer)`` returns settings of an engine that gives this answer once."""
    listener = socket.socket(socket.AF_UNIX)
    threads = []

    def start(answer: bytes) -> Settings:
        listener.bind(str(tmp_path / "e"))
        listener.listen()

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return Settings(engine=EngineSettings(host=f"unix://{tmp_path}/e", timeout_seconds=0.5))

    yield start
    for thread in threads:
        thread.join(5)
    listener.close()


def test_an_answer_is_decoded(serve: Serve) -> None:
    """The body after the head is decoded."""
    settings = serve(b'HTTP/1.0 200 OK\r\nServer: x\r\n\r\n{"a": 1}')
    assert engine.get_json(settings, "/x") == {"a": 1}


def test_a_refusal_carries_the_engines_words(serve: Serve) -> None:
    """A refusal carries Docker's ``message``."""
    settings = serve(b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "No such container: x"}')
    with pytest.raises(engine.EngineRefused, match="No such container: x") as caught:
        engine.get_json(settings, "/x")
    assert caught.value.status == 404


def test_a_refusal_without_words(serve: Serve) -> None:
    """A refusal without a message is described by its status."""
    with pytest.raises(engine.EngineRefused, match="HTTP status 500"):
        engine.get_json(serve(b"HTTP/1.0 500 Oops\r\n\r\n"), "/x")


def test_the_page_of_a_proxy_is_not_shown(serve: Serve) -> None:
    """A refusal in HTML is described by its status, and one in plain text by its words."""
    page = b"HTTP/1.0 403 Forbidden\r\n\r\n\n<html><body><h1>403 Forbidden</h1></body></html>"
    with pytest.raises(engine.EngineRefused, match=r"^the engine answered with HTTP status 403$"):
        engine.get_json(serve(page), "/x")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_a_server_that_is_not_an_engine_is_unreachable(serve: Serve, answer: bytes) -> None:
    """A server that closes the connection, or does not speak HTTP, is unreachable."""
    with pytest.raises(EngineUnreachable):
        engine.get_json(serve(answer), "/x")


def test_an_answer_that_is_not_json_is_an_error(serve: Serve) -> None:
    """An answer that is not JSON, such as a proxy's page, is an error."""
    with pytest.raises(EngineError, match="not JSON"):
        engine.get_json(serve(b"HTTP/1.0 200 OK\r\n\r\n<html>"), "/x")


def test_a_missing_socket_is_unreachable(tmp_path: Path) -> None:
    """A missing socket is reported in the operating system's words."""
    settings = Settings(engine=EngineSettings(host=f"unix://{tmp_path}/nobody"))
    with pytest.raises(EngineUnreachable, match="no such file"):
        engine.get(settings, "/x")
    with pytest.raises(EngineUnreachable, match="no such file"):
        connect(settings)


def test_a_socket_in_this_directory(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clients resolve a relative socket path in the same directory."""
    head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
    serve(head + b'{"ApiVersion": "1.41"}')
    monkeypatch.chdir(tmp_path)
    settings = Settings(engine=EngineSettings(host="unix://e", timeout_seconds=0.5))
    assert connect(settings).api_version == "1.41"


@pytest.mark.parametrize("host", ["ssh://machine", "tcp://machine", "npipe:////x"])
def test_an_address_that_cannot_be_used(host: str) -> None:
    """An unusable address is refused with the usable forms."""
    settings = Settings(engine=EngineSettings(host=host))
    with pytest.raises(SettingsError, match="unix:///PATH"):
        engine.get(settings, "/x")
    with pytest.raises(SettingsError, match="unix:///PATH"):
        connect(settings)


@pytest.mark.parametrize(
    ("host", "verify", "missing"),
    [
        ("tcp://127.0.0.1:1", "", "cert.pem"),
        ("http://127.0.0.1:1", "1", "ca.pem"),
        ("https://127.0.0.1:1", "1", "ca.pem"),
    ],
)
def test_tls_without_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, verify: str, missing: str
) -> None:
    """Both clients report missing TLS files with the file and the variable."""
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    for name in {"cert.pem", "key.pem", "ca.pem"} - {missing}:
        (tmp_path / name).touch()
    settings = Settings(engine=EngineSettings(host=host))
    for ask in (connect, lambda settings: engine.get(settings, "/x")):
        with pytest.raises(SettingsError, match=f"DOCKER_CERT_PATH: .*{missing}"):
            ask(settings)


def test_tls_of_both_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients use TLS for the same addresses: the server receives a handshake first."""
    authority, certificate, key = (tmp_path / f"{name}.pem" for name in ("ca", "cert", "key"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    authority.write_bytes(certificate.read_bytes())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    for verify in ("", "1"):
        monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
        for scheme in ("tcp", "http", "https"):
            for ask in (connect, lambda settings: engine.get(settings, "/x")):
                with socket.create_server(("127.0.0.1", 0)) as server:
                    heard = ThreadPoolExecutor(1).submit(_first_byte, server)
                    host = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
                    address = EngineSettings(host=host, timeout_seconds=5)
                    with pytest.raises(EngineUnreachable, match=f"at {host}"):
                        ask(Settings(engine=address))
                    assert heard.result(5) == b"\x16"  # RFC 8446 §5.1: a handshake record


def _first_byte(server: socket.socket) -> bytes:
    connection, _ = server.accept()
    with connection:
        return connection.recv(1)


def test_an_engine_that_leaves_is_named_by_its_address(serve: Serve) -> None:
    """A lost engine is named by its configured address, not by docker-py's made-up one."""
    version = b'{"ApiVersion": "1.41"}'
    head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
    settings = serve(head + version)
    client = connect(settings)
    Path(settings.engine.host.removeprefix("unix://")).unlink()
    with pytest.raises(EngineUnreachable, match=f"at {settings.engine.host}"):
        client.version()


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the engine unless the settings do."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    assert engine.host(Settings()) == "unix:///elsewhere"
    assert engine.host(Settings(engine=EngineSettings(host="unix:///here"))) == "unix:///here"
    monkeypatch.delenv("DOCKER_HOST")
    assert engine.host(Settings()) == engine.DEFAULT_HOST


@pytest.mark.parametrize(
    ("log", "size"),
    [
        ({"Type": "json-file", "Config": {}}, None),
        ({"Type": "json-file", "Config": {"max-size": "10m"}}, 10_000_000),
        ({"Type": "json-file", "Config": {"max-size": "1.5K"}}, 1_500),
        ({"Type": "json-file", "Config": {"max-size": "what"}}, 0),
        ({"Type": "json-file", "Config": {"max-size": "-1"}}, None),
        ({"Type": "local", "Config": None}, 20_000_000),
        ({"Type": "local", "Config": {"max-size": "1m"}}, 1_000_000),
        ({"Type": "journald"}, None),
        ({"Type": "fluentd", "Config": {"max-size": "1m"}}, 20_000_000),
        ({"Type": "syslog", "Config": {"cache-max-size": "2m"}}, 2_000_000),
        ({}, None),
    ],
)
def test_the_size_at_which_a_log_rotates(log: dict[str, object], size: int | None) -> None:
    """The rotation size is parsed as the engine does it; an invalid one counts as small."""
    assert rotates_at(log) == size


@pytest.mark.parametrize(
    ("log", "packed"),
    [
        ({"Type": "json-file", "Config": {"max-size": "1m"}}, False),
        ({"Type": "json-file", "Config": {"max-size": "1m", "compress": "true"}}, True),
        ({"Type": "json-file", "Config": {"max-size": "1m", "compress": "F"}}, False),
        ({"Type": "local", "Config": None}, True),
        ({"Type": "local", "Config": {"compress": "false"}}, False),
        ({"Type": "gelf", "Config": {"cache-compress": "0"}}, False),
        ({"Type": "gelf", "Config": {}}, True),
        ({}, False),
    ],
)
def test_which_logs_are_compressed(log: dict[str, object], packed: bool) -> None:
    """The driver "local" compresses unless told otherwise, also as the copy of remote logs."""
    assert compressed(log) is packed
