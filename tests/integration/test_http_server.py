"""The HTTP API as served by gunicorn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import run
from tests.support.service.service import ADMIN, Service

pytestmark = pytest.mark.engine


def _chunks(size: int) -> Iterator[bytes]:
    """Yield a JSON body of ``size`` bytes, sent without a Content-Length."""
    start, end = b'{"name": "', b'"}'
    yield start
    yield b"x" * (size - len(start) - len(end))
    yield end


def test_a_body_may_come_in_chunks(service: Service, admin: str) -> None:
    """A chunked body has the same limit as any other; the server serves the next request."""
    for size, status in ((40, 201), (65_536, 400), (65_537, 413), (1_000_000, 413)):
        answer = requests.post(
            f"{service.url}/api/apps", data=_chunks(size), headers={"Cookie": admin}, timeout=30
        )
        assert answer.status_code == status, answer.text
        assert answer.json()["success"] == (status == 201)


def test_a_refused_login_is_logged_without_its_password(service: Service) -> None:
    """The log has the client's address, which firewalls need, but not the password."""
    body = {"email": "eve@example.com", "password": "hunter2-hunter2"}
    answer = requests.post(f"{service.url}/api/auth/login", json=body, timeout=30)
    assert answer.status_code == 401
    assert "login_refused" in service.output
    assert "127.0.0.1" in service.output.partition("login_refused")[2]
    assert "hunter2" not in service.output


def test_a_proxy_with_tls_makes_the_cookie_secure(service: Service) -> None:
    """Behind a proxy with TLS the cookie is Secure, so browsers never send it in plain text."""
    answer = requests.post(
        f"{service.url}/api/auth/login",
        json={"email": ADMIN, "password": service.password},
        headers={"X-Forwarded-Proto": "https", "Origin": service.url.replace("http", "https")},
        timeout=30,
    )
    assert answer.status_code == 200
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


def test_a_logout_counts_in_every_worker(engine: PrivateEngine, make_service: MakeService) -> None:
    """A session is over in every worker after the log-out."""
    service = make_service(engine, workers=2)
    headers = {"Cookie": service.login()}
    assert requests.post(f"{service.url}/api/auth/logout", headers=headers, timeout=30).ok
    answers = [
        requests.get(f"{service.url}/api/auth/me", headers=headers, timeout=30) for _ in range(20)
    ]
    assert {answer.status_code for answer in answers} == {401}


@contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    """Mount a file system of 2 MiB at ``path``."""
    path.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=2m,mode=0750", "mist-test", path)
    try:
        yield
    finally:
        run("umount", "--lazy", path)


def _fill(path: Path) -> None:
    """Use up the free space of the file system."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
def test_a_full_disk_is_told_and_survived(engine: PrivateEngine, make_service: MakeService) -> None:
    """The API and the command report a full disk; with space again, they continue without loss."""
    service = make_service(engine, start=False)
    with _small_disk(service.paths.home):
        service.start()
        headers = {"Cookie": service.login()}
        service.add_app("before")
        _fill(service.paths.home / "ballast")
        body = {"name": "after", "env": {"A": "x" * 60_000}}
        answer = requests.post(f"{service.url}/api/apps", json=body, headers=headers, timeout=30)
        assert answer.status_code == 507, answer.text
        assert "free some space" in answer.json()["message"]
        done = service.mist("app", "add", "after", "--env", "A=" + "x" * 60_000, check=False)
        assert done.returncode == 69
        assert "free some space" in done.stderr
        assert "Traceback" not in done.stderr
        (service.paths.home / "ballast").unlink()
        answer = requests.post(f"{service.url}/api/apps", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        names = [
            app["name"]
            for app in requests.get(f"{service.url}/api/apps", headers=headers, timeout=30).json()[
                "data"
            ]
        ]
        assert names == ["before", "after"]
        assert service.stop() == 0
