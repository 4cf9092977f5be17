"""The files that an operator installs: units, users, directories, reverse proxies."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.support.service.clients import Client
from tests.support.service.service import Service, free_port
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
ETC = ROOT / "etc"
#: Where nginx and the others are, even for users whose PATH omits it.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

OpenClient = Callable[..., Client]


def _program(name: str) -> str:
    """Return the path of a program, or skip the test (in CI: fail)."""
    found = shutil.which(name, path=PATH)
    if found is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return found


def _run(*command: str | Path, **environment: str) -> str:
    """Return the output of ``command``. Raise AssertionError with it if the command fails."""
    done = subprocess.run(
        command,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A root directory with the files of ``make install-files``."""
    _run("make", "-C", ROOT, "install-files", f"DESTDIR={tmp_path}")
    return tmp_path


def test_units_are_valid(installed: Path) -> None:
    """The verifier reports nothing; the units' programs are those of this environment."""
    program = _program("systemd-analyze")
    units = sorted((installed / "etc/systemd/system").iterdir())
    here = str(Path(sys.executable).parent)
    for unit in units:
        unit.write_text(unit.read_text("utf-8").replace("/opt/mist/bin", here), "utf-8")
    said = _run(program, "verify", "--man=no", *units, SYSTEMD_UNIT_PATH=f"{units[0].parent}:")
    assert "mist" not in said


@pytest.mark.parametrize("unit", ["mist-api.service", "mist-supervisor.service"])
def test_units_are_hardened(unit: str) -> None:
    """The exposure score of systemd (0 to 10, here in tenths) stays low."""
    program = _program("systemd-analyze")
    _run(program, "security", "--offline=true", "--threshold=20", ETC / "systemd" / unit)


def test_the_web_tier_is_not_in_the_engines_group() -> None:
    """No setting of the unit puts it into that group."""
    lines = (ETC / "systemd/mist-api.service").read_text("utf-8").splitlines()
    assert not [line for line in lines if line.startswith("SupplementaryGroups")]
    assert "Group=mist" in lines


def test_users_and_directories(installed: Path) -> None:
    """There are two users, one shared group, and directories that other users cannot enter."""
    _run(_program("systemd-sysusers"), f"--root={installed}", "mist.conf")
    groups = (installed / "etc/group").read_text("utf-8").splitlines()
    members = next(line for line in groups if line.startswith("mist:")).split(":")[3]
    assert members == "mist-api"
    taps = next(line for line in groups if line.startswith("mist-tap:")).split(":")
    assert taps[3] == "mist-api"
    if os.geteuid() == 0:
        _run(_program("systemd-tmpfiles"), f"--root={installed}", "--create", "mist.conf")
        modes = {
            "run/mist": 0o2750,
            "var/lib/mist": 0o750,
            "var/lib/mist/deployments": 0o750,
            "var/lib/mist/kept-logs": 0o700,
            "var/lib/mist/work": 0o700,
            "var/lib/mist/store": 0o2770,
            "etc/mist/mist.toml": 0o640,
        }
        for directory, mode in modes.items():
            assert (installed / directory).stat().st_mode & 0o7777 == mode, directory
        assert (installed / "run/mist").stat().st_gid == int(taps[2])
        shared = next(line for line in groups if line.startswith("mist:")).split(":")[2]
        assert (installed / "etc/mist/mist.toml").stat().st_gid == int(shared)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_only_what_root_left_in_the_store_changes_its_owner(installed: Path) -> None:
    """Only files that root left change their owner, not those that the web tier's user planted."""
    home = installed / "var/lib/mist"
    planted = [home / "store" / name for name in ("x", "x/HEAD", "mist.db-x", ".git")]
    for path in planted:
        path.mkdir(parents=True)
        os.chown(path, 12345, 12345)
    restored = [home / "store/mist.db", home / "store/mist.db-wal", home / "secret"]
    for path in restored:
        path.touch()
    unit = (installed / "etc/systemd/system/mist-supervisor.service").read_text("utf-8")
    steps = re.findall(r"^ExecStartPre=\+-?(.*/var/lib/mist)$", unit, re.MULTILINE)
    for step in steps:
        _run(*step.replace("mist:mist", "54321:54321").replace("/var/lib/mist", str(home)).split())
    assert {path.stat().st_uid for path in planted} == {12345}
    assert {path.stat().st_uid for path in restored} == {54321}
    rules = (installed / "etc/tmpfiles.d/mist.conf").read_text("utf-8")
    recursive = re.findall(r"^[ZT]\S* (\S+)", rules, re.MULTILINE)
    assert not {"/var", "/var/lib", "/var/lib/mist", "/var/lib/mist/store"} & set(recursive)


def test_an_installation_keeps_what_was_changed(installed: Path) -> None:
    """A second installation keeps the operator's settings."""
    settings = installed / "etc/mist/mist.toml"
    settings.write_text("[server]\nworkers = 2\n", "utf-8")
    _run("make", "-C", ROOT, "install-files", f"DESTDIR={installed}")
    assert settings.read_text("utf-8") == "[server]\nworkers = 2\n"


#: prctl(2): PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN, the kernel's own equivalent of
#: the filter behind systemd's MemoryDenyWriteExecute; 0 where the kernel lacks it.
_WITHOUT_EXECUTABLE_MEMORY = """
import ctypes
denied = ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) == 0
import os, sys
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], str(int(denied))])
"""
_WEB_TIER = """
import sys
import api.worker, api.main
from mist.accounts import passwords
import argon2, gevent, zmq.green
argon2.PasswordHasher().hash("a password")
zmq.green.Context().term()
gevent.get_hub().threadpool.apply(len, ("",))
print("denied" if sys.argv[1] == "1" else "allowed")
"""


def test_the_web_tier_needs_no_executable_memory() -> None:
    """The web tier runs where memory is never both writable and executable."""
    said = _run(sys.executable, "-c", _WITHOUT_EXECUTABLE_MEMORY, _WEB_TIER)
    assert said.strip() in {"denied", "allowed"}


# ------------------------------------------------------------- reverse proxies


def _certificate(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "fullchain.pem", directory / "privkey.pem"
    command = [_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=mist.example.com"]
    _run(*command, "-out", certificate, "-keyout", key)
    return certificate, key


def _nginx_file(directory: Path, site: str) -> Path:
    """Return an nginx.conf around ``site`` that writes only into ``directory``."""
    (directory / "site.conf").write_text(site, "utf-8")
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = directory / "nginx.conf"
    file.write_text(
        f"pid {directory}/nginx.pid; daemon off; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} include {directory}/site.conf; }}\n",
        "utf-8",
    )
    return file


def test_the_nginx_example_is_valid(tmp_path: Path) -> None:
    """The printed example is valid, apart from the paths of the certificate."""
    certificate, key = _certificate(tmp_path)
    site = (ETC / "proxy/nginx.conf").read_text("utf-8")
    site = site.replace("/etc/ssl/mist/fullchain.pem", str(certificate))
    site = site.replace("/etc/ssl/mist/privkey.pem", str(key))
    _run(_program("nginx"), "-t", "-e", "stderr", "-c", _nginx_file(tmp_path, site))


def test_the_caddy_example_is_valid(tmp_path: Path) -> None:
    """The printed example is valid."""
    caddyfile = ETC / "proxy/Caddyfile"
    command = [_program("caddy"), "validate", "--adapter", "caddyfile", "--config", str(caddyfile)]
    _run(*command, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))


@contextmanager
def _nginx(
    directory: Path, upstream: int, change: Callable[[str], str] = lambda site: site
) -> Iterator[int]:
    """Run the example without TLS, on a free port, with changes that users may need."""
    port = free_port()
    example = (ETC / "proxy/nginx.conf").read_text("utf-8")
    site, _, _redirection = example.partition("server {\n    listen 80")
    site = re.sub(r"(?m)^ *(ssl_|listen \[::\]).*\n", "", site)
    site = site.replace("443 ssl http2", f"127.0.0.1:{port}")
    file = _nginx_file(directory, change(site).replace("127.0.0.1:8420", f"127.0.0.1:{upstream}"))
    with _proxy(port, [_program("nginx"), "-e", "stderr", "-c", str(file)], directory):
        yield port


@contextmanager
def _caddy(
    directory: Path, upstream: int, change: Callable[[str], str] = lambda site: site
) -> Iterator[int]:
    """Run the example without TLS, on a free port, without Caddy's control interface."""
    port = free_port()
    site = change((ETC / "proxy/Caddyfile").read_text("utf-8"))
    site = site.replace("127.0.0.1:8420", f"127.0.0.1:{upstream}")
    site = site.replace("mist.example.com", f"http://127.0.0.1:{port}")
    file = directory / "Caddyfile"
    file.write_text(site.replace("{\n\tservers", "{\n\tadmin off\n\tservers"), "utf-8")
    command = [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
    with _proxy(port, command, directory):
        yield port


def _nginx_below_a_path(directory: Path, upstream: int) -> AbstractContextManager[int]:
    """Run nginx below a path as described in docs/operations.md."""

    def change(site: str) -> str:
        site = site.replace("location / {", "location /mist/ {")
        return site.replace("proxy_pass http://mist;", "proxy_pass http://mist/;")

    return _nginx(directory, upstream, change)


def _caddy_below_a_path(directory: Path, upstream: int) -> AbstractContextManager[int]:
    """Run Caddy below a path as described in docs/operations.md."""

    def change(site: str) -> str:
        site = site.replace("reverse_proxy", "handle_path /mist/* {\nreverse_proxy")
        return site.rstrip() + "\n}\n"

    return _caddy(directory, upstream, change)


@contextmanager
def _proxy(port: int, command: list[str], directory: Path) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, "the proxy", 20)
        assert process.poll() is None, (directory / "log").read_text("utf-8")
        yield
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Proxy = Callable[[Path, int], AbstractContextManager[int]]


@pytest.mark.engine
@pytest.mark.parametrize("proxy", [_nginx, _caddy])
def test_streams_pass_through_a_proxy(
    proxy: Proxy, service: Service, admin: str, open_client: OpenClient, tmp_path: Path
) -> None:
    """WebSockets are upgraded, their own origin is accepted, and messages arrive at once."""
    with proxy(tmp_path, service.port) as port:
        url = f"ws://127.0.0.1:{port}/ws/metrics"
        client = open_client(url, admin, origin=f"http://127.0.0.1:{port}")
        client.wait_for(lambda messages: len(messages) >= 3)
        client.close()
        assert client.code == 1000


class _SignInServer(BaseHTTPRequestHandler):
    """Signs in whoever has the cookie ``who``, whose value is an email address."""

    def do_GET(self) -> None:
        """Answer as Authelia and the others do."""
        found = re.search(r"who=([^;]+)", self.headers.get("Cookie", ""))
        self.send_response(200 if found else 401)
        if found and found[1] != "nameless":
            self.send_header("Remote-Email", found[1])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _sign_in_server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SignInServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _nginx_sign_in(directory: Path, upstream: int, server: int) -> AbstractContextManager[int]:
    """Run nginx with the example for a sign-in server."""
    extra = (ETC / "proxy/nginx-sign-in.conf").read_text("utf-8")

    def change(site: str) -> str:
        begin = site.index("    location / {")
        end = site.index("    }\n", begin) + len("    }\n")
        return site[:begin] + extra.replace("127.0.0.1:9091", f"127.0.0.1:{server}") + site[end:]

    return _nginx(directory, upstream, change)


def _caddy_sign_in(directory: Path, upstream: int, server: int) -> AbstractContextManager[int]:
    """Run Caddy with the example for a sign-in server."""
    extra = (ETC / "proxy/Caddyfile-sign-in").read_text("utf-8")

    def change(site: str) -> str:
        begin = site.index("\treverse_proxy")
        return site[:begin] + extra.replace("127.0.0.1:9091", f"127.0.0.1:{server}") + "}\n"

    return _caddy(directory, upstream, change)


@pytest.fixture(scope="module")
def behind_sign_in() -> Iterator[Service]:
    """A service that takes users from a proxy, with an account."""
    service = Service("unix:///nonexistent/docker.sock", {"auth.proxy_header": "Remote-Email"})
    try:
        service.start()
        service.add_user("ada@example.com", "correct horse battery staple")
        yield service
    finally:
        service.destroy()


@pytest.mark.parametrize("proxy", [_nginx_sign_in, _caddy_sign_in])
def test_users_are_signed_in_by_a_proxy(
    proxy: Callable[[Path, int, int], AbstractContextManager[int]],
    behind_sign_in: Service,
    open_client: OpenClient,
    tmp_path: Path,
) -> None:
    """The proxy's word counts, and never that of a client."""
    with _sign_in_server() as server, proxy(tmp_path, behind_sign_in.port, server) as port:
        url = f"http://127.0.0.1:{port}"

        def who(cookie: str, **headers: str) -> tuple[int, Any]:
            headers["Cookie"] = cookie
            answer = requests.get(f"{url}/api/auth/me", headers=headers, timeout=10)
            shown = answer.json()["data"] if answer.ok else None
            return answer.status_code, shown and shown["email"]

        assert who("who=ada@example.com") == (200, "ada@example.com")
        assert who("who=nobody@example.com") == (401, None)
        assert who("")[0] == 401
        for name in ("Remote-Email", "remote-email", "Remote_Email", "REMOTE_EMAIL"):
            forged = {name: "admin@localhost"}
            assert who("who=ada@example.com", **forged) == (200, "ada@example.com")
            assert who("who=nameless", **forged) == (401, None)
        stream = f"ws://127.0.0.1:{port}/ws/metrics"
        client = open_client(stream, "who=ada@example.com", origin=url)
        client.wait_for(len)
        client.close()


def test_a_client_that_is_no_trusted_proxy_names_nobody(behind_sign_in: Service) -> None:
    """Without the setting, or from another address, the header means nothing."""
    forged = {"Remote-Email": "ada@example.com"}
    me = "/api/auth/me"
    assert requests.get(f"{behind_sign_in.url}{me}", headers=forged, timeout=10).ok
    for settings in (
        {"server.forwarded_allow_ips": "192.0.2.1", "auth.proxy_header": "Remote-Email"},
        {},
    ):
        other = Service("unix:///nonexistent/docker.sock", settings)
        try:
            other.start()
            other.add_user("ada@example.com", "correct horse battery staple")
            answer = requests.get(f"{other.url}{me}", headers=forged, timeout=10)
            assert answer.status_code == 401
        finally:
            other.destroy()


@pytest.mark.engine
@pytest.mark.parametrize("proxy", [_nginx, _caddy])
def test_monitoring_is_not_public(proxy: Proxy, service: Service, tmp_path: Path) -> None:
    """The proxy serves ``/healthz`` but neither ``/metrics`` nor ``/readyz``."""
    with proxy(tmp_path, service.port) as port:
        for path in ("metrics", "readyz"):
            assert requests.get(f"http://127.0.0.1:{service.port}/{path}", timeout=10).ok
            answer = requests.get(f"http://127.0.0.1:{port}/{path}", timeout=10)
            assert answer.status_code == 404
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok


@pytest.mark.engine
@pytest.mark.parametrize("proxy", [_nginx, _caddy])
def test_a_proxy_does_not_wait_longer_for_a_body_than_mist(
    proxy: Proxy, service: Service, tmp_path: Path
) -> None:
    """A client that does not finish its request is cut off within the example's ten seconds."""
    head = "POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with proxy(tmp_path, service.port) as port:
        for data in (head, f"{head}Content-Length: 10\r\n\r\n123"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(data.encode())
                while client.recv(4096):
                    pass


@pytest.mark.engine
@pytest.mark.parametrize("proxy", [_nginx, _caddy])
def test_a_foreign_origin_is_refused_through_a_proxy(
    proxy: Proxy, service: Service, admin: str, open_client: OpenClient, tmp_path: Path
) -> None:
    """The proxy passes on what the check needs, and the refusal reaches the client."""
    with proxy(tmp_path, service.port) as port:
        url = f"ws://127.0.0.1:{port}/ws/metrics"
        client = open_client(url, admin, origin="http://elsewhere.example")
        client.closed.wait(30)
        assert client.refusal is not None
        assert client.refusal.status == 403


@pytest.mark.engine
@pytest.mark.parametrize("proxy", [_nginx_below_a_path, _caddy_below_a_path])
def test_the_page_works_below_a_path(
    proxy: Proxy, service: Service, admin: str, open_client: OpenClient, tmp_path: Path
) -> None:
    """Files, also requested from a deeper address, and a stream work below the path."""
    with proxy(tmp_path, service.port) as port:
        for address in ("mist/", "mist/log?app=1", "mist/a/b"):
            page = requests.get(f"http://127.0.0.1:{port}/{address}", timeout=10)
            assert page.headers["Content-Type"].startswith("text/html")
            for name in re.findall(r'(?:src|href)="(\.[^"]+)"', page.text):
                answer = requests.get(urljoin(page.url, name), timeout=10)
                assert answer.url.startswith(f"http://127.0.0.1:{port}/mist/assets/")
                assert "immutable" in answer.headers["Cache-Control"]
        client = open_client(f"ws://127.0.0.1:{port}/mist/ws/metrics", admin)
        client.wait_for(len)
        client.close()
