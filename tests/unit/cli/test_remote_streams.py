"""Tests of the streams of another machine: which ends are final, and where they go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Self

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from cli.log_source import Entry, Note
from cli.logs import Options, choose
from cli.remote import following
from cli.remote.deployments import deploy
from cli.remote.log_reading import Log, Reading
from cli.remote.metrics import remote_metrics
from cli.remote.service import RemoteError, RemoteService
from mist import close_codes, messages
from mist.errors import Exit
from mist.messages import DeploymentStatus, LogMessage
from mist.settings import Settings
from tests.support.log_service import message, status

CHOICE: Final = choose(
    Options(None, None, None, None, False, False, False, None, False, False), Settings()
)
# Messages, a close code (1005 for none), a refusal, and None to stand still.
Script = list[bytes | int | Response | None]


class Server:
    """A service whose streams follow scripts."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self._server = serve(
            self._play, "127.0.0.1", 0, process_request=self._begin, close_timeout=0.1
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.service = RemoteService(
            f"http://127.0.0.1:{self._server.socket.getsockname()[1]}", "token"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def _begin(self, _connection: ServerConnection, _request: Request) -> Response | None:
        refusal = self.scripts[0][0]
        if not isinstance(refusal, Response):
            return None
        self.scripts.pop(0)
        return refusal

    def _play(self, connection: ServerConnection) -> None:
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, bytes):
                    connection.send(step.decode())
                elif step is None:
                    connection.protocol.receive_data = lambda data: None  # type: ignore[method-assign]
                elif step == 1005:
                    with connection.send_context():
                        connection.protocol.send_close()
                elif isinstance(step, int):
                    connection.close(step)
            connection.recv()
        except ConnectionClosed:
            pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a server; failed attempts are repeated at once."""
    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0.001)
    with Server() as server:
        yield server


class Taken:
    """The entries of a log."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def put(self, entry: Entry) -> None:
        """Take an entry."""
        if isinstance(entry, LogMessage):
            self.lines.append(entry.data.line)
        elif isinstance(entry, Note):
            self.notes.append(entry.text)

    def settle(self) -> None:
        """Do nothing."""


def read(server: Server) -> tuple[int, Taken]:
    """Follow a log."""
    taken = Taken()
    log = Log("web", {"appId": 1}, "/api/apps/1/logs")
    return Reading(server.service, log, CHOICE, taken).run(), taken


def line(number: int) -> bytes:
    """Return a line with its number."""
    return message("log", line=str(number), stream="stdout", pos=f"1-{number}")


END: Final = message("end", message="over")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1005, 1007, 1008, 1009, 1011, 1012, 1014, 3000])
def test_a_stream_that_something_on_the_way_closes(server: Server, code: int) -> None:
    """A log goes on, whatever the code, because the service has not said that it is complete."""
    server.scripts = [[status(), line(1), code], [status(), line(2), END, 1000]]
    status_, taken = read(server)
    assert (status_, taken.lines) == (Exit.OK, ["1", "2"])
    assert len([note for note in taken.notes if "broke; trying again" in note]) == 1


@pytest.mark.parametrize("code", [408, 429, 500, 502, 504, 520])
def test_a_proxy_that_has_no_service_for_a_moment(server: Server, code: int) -> None:
    """Its page of HTML is not the end of a log that has begun."""
    page = Response(code, "Oops", Headers({"Content-Length": "6"}), b"<html>")
    server.scripts = [[status(), line(1), 1012], [page], [line(2), END, 1000]]
    status_, taken = read(server)
    assert (status_, taken.lines) == (Exit.OK, ["1", "2"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (close_codes.TRY_AGAIN_LATER, Exit.UNAVAILABLE),
        (close_codes.SESSION_EXPIRED, Exit.NO_PERMISSION),
        (close_codes.PERMISSION_DENIED, Exit.NO_PERMISSION),
        (close_codes.NOT_FOUND, Exit.FAILURE),
        (4499, Exit.FAILURE),
    ],
)
def test_a_refusal_is_final(server: Server, code: int, expected: Exit) -> None:
    """It is never silent: without a reason, the code is told."""
    server.scripts = [[status(), code]]
    status_, taken = read(server)
    assert status_ == expected
    assert f"closed the log with code {code}" in taken.notes[-1]
    server.scripts = [[status(), message("error", message="no"), code]]
    status_, taken = read(server)
    assert (status_, taken.notes[-1]) == (expected, "no")


def test_a_silent_peer_does_not_delay_the_end(server: Server) -> None:
    """Whoever ends a stream early, such as with ^C, waits a second at most."""
    server.scripts = [[None, status()]]
    with server.service.stream("/ws/container/logs") as stream:
        assert stream.recv(timeout=10)
        began = time.monotonic()
    assert time.monotonic() - began < 5


# ---------------------------------------------------------------------- deployments


def stage(state: str, progress: int, text: str) -> bytes:
    """Return a status of deployment 7."""
    return messages.status(DeploymentStatus(7, state, "x", progress, text))  # type: ignore[arg-type]


class Shown:
    """A screen that remembers what it is given."""

    texts: ClassVar[list[str]] = []

    def __init__(self, _title: str) -> None:
        self.texts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Remember a line."""
        self.texts.append(text)

    def status(self, status: DeploymentStatus) -> None:
        """Remember a status."""
        self.texts.append(status.error_message or status.message)


@pytest.fixture
def follow(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that deploys and follows the deployment."""
    answers = {"GET": [{"id": 1, "name": "web", "container": "web"}], "POST": {"id": 7}}
    monkeypatch.setattr(server.service, "call", lambda method, *_: answers[method])
    monkeypatch.setattr("cli.remote.deployments.Screen", Shown)
    return lambda: deploy(server.service, "web", None)


QUEUED: Final = stage("pending", 0, "queued")
BEGUN: Final = [
    stage("building", 25, "clones"),
    message("log", line="one"),
    message("log", line="one"),
]
HALF: Final = stage("building", 50, "builds")


@pytest.mark.parametrize("code", [1000, 1005, 1012])
def test_a_deployment_repeats_nothing(server: Server, follow: Callable[[], int], code: int) -> None:
    """After a break, neither its lines nor its stages come again; only its status is its end."""
    done = stage("success", 100, "done")
    server.scripts = [[QUEUED, *BEGUN, code], [QUEUED, *BEGUN, HALF, done, 1000]]
    assert follow() == Exit.OK
    assert Shown.texts == ["queued", "clones", "one", "one", "builds", "done"]


def test_an_error_in_place_of_a_log(
    server: Server, follow: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no record of the log, which comes whole once it can be read."""
    error, done = message("error", message="cannot be read"), stage("success", 100, "done")
    server.scripts = [[*BEGUN, error, 1011], [error, 1000], [*BEGUN, HALF, done, 1000]]
    assert follow() == Exit.OK
    assert Shown.texts == ["clones", "one", "one", "builds", "done"]
    assert "mist: cannot be read" in capsys.readouterr().err


def test_a_deployment_that_failed_is_told_after_a_break(
    server: Server, follow: Callable[[], int]
) -> None:
    """The connection may break between the two records with which it ends."""
    failed, error = stage("failed", 50, "failed"), message("error", message="failed")
    server.scripts = [[*BEGUN, failed, 1012], [*BEGUN, failed, error, 1000]]
    assert follow() == Exit.FAILURE
    assert Shown.texts[-1] == "failed"


def test_a_right_that_is_withdrawn(server: Server, follow: Callable[[], int]) -> None:
    """The exit status says so."""
    server.scripts = [[*BEGUN, message("error", message="Permission denied"), 4403]]
    with pytest.raises(RemoteError, match="code 4403") as caught:
        follow()
    assert caught.value.exit_status == Exit.NO_PERMISSION


@pytest.mark.parametrize("strange", [b'{"type":"status"}', b'{"type":"log","data":null}'])
def test_records_of_another_version(
    server: Server, follow: Callable[[], int], strange: bytes
) -> None:
    """They are an error with a reason."""
    server.scripts = [[strange]]
    with pytest.raises(RemoteError, match="another version of Mist"):
        follow()


def test_metrics_of_another_version(server: Server) -> None:
    """Messages that cannot be read are left out."""
    server.scripts = [[b"<html>", b'{"cpu":1}', message("error", message="no"), 4403]]
    with (
        remote_metrics(server.service, 1) as metrics,
        pytest.raises(RemoteError, match="denies this token"),
    ):
        metrics.take(10)
