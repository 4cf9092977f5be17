"""Tests of the stream of a build, and of the request for it."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.errors import EngineError
from mist.settings import EngineSettings, Settings
from mist.store import BuildLimits
from tests.support.engine_server import EngineServer
from workers.deployment import build
from workers.deployment.build import Progress, Recipe
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import BuildBrokenOff, BuildFailed, Cancelled

#: A build as Docker 20.10 streams it.
STREAM = b"".join(
    json.dumps(event).encode() + b"\r\n"
    for event in (
        {"status": "Pulling from library/busybox", "id": "latest"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "abc"},
        {"status": "Pull complete", "progressDetail": {}, "id": "abc"},
        {"stream": "Step 1/2 : FROM busybox"},
        {"stream": "\n"},
        {"stream": " ---> 8f0e784b549d\n"},
        {"stream": "Step 2/2 : RUN seq 3"},
        {"stream": "\n"},
        {"stream": "1\n2\n"},
        {"stream": "3"},
        {"aux": {"ID": "sha256:cafe"}},
        {"stream": "\nSuccessfully built cafe\n"},
    )
)
LINES = [
    *("latest: Pulling from library/busybox", "abc: Pull complete"),
    *("Step 1/2 : FROM busybox", " ---> 8f0e784b549d", "Step 2/2 : RUN seq 3", "1", "2", "3"),
    "Successfully built cafe",
]


class Seen:
    """A listener that records lines and steps in order."""

    def __init__(self) -> None:
        self.order: list[str | tuple[int, int]] = []

    def lines(self, texts: list[str]) -> None:
        """Record lines."""
        self.order += texts

    def step(self, number: int, count: int) -> None:
        """Record a step."""
        self.order.append((number, count))

    @property
    def said(self) -> list[str]:
        """Return the lines alone."""
        return [item for item in self.order if isinstance(item, str)]


def gone(_container: str) -> bool:
    """Confirm that a container was removed."""
    return True


def outcome(stream: bytes) -> str:
    """Return the result of a stream."""
    progress = Progress(Seen(), 1_000, gone)
    progress.feed(stream)
    return progress.finish()


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces_give_the_same_build(cuts: list[int]) -> None:
    """Lines, steps and image do not depend on how the stream is split."""
    seen = Seen()
    progress = Progress(seen, 1_000, gone)
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        progress.feed(STREAM[start:end])
    assert progress.finish() == "sha256:cafe"
    assert seen.said == LINES
    assert seen.order[3] == (1, 2)
    assert seen.order.index((2, 2)) == seen.order.index("Step 2/2 : RUN seq 3") + 1


def streamed(*texts: str, is_gone: Callable[[str], bool] = gone) -> list[tuple[int, int]]:
    """Return the steps of a build with these messages."""
    seen = Seen()
    progress = Progress(seen, 1_000, is_gone)
    for text in texts:
        progress.feed(json.dumps({"stream": text}).encode() + b"\r\n")
    return [item for item in seen.order if isinstance(item, tuple)]


@pytest.mark.parametrize(
    "output", ["Step 2/2 : RUN x\n", "Step 2/2 : CMD x", "a\nStep 2/2 : x\n", "Step 9/9 : x\n"]
)
def test_output_that_looks_like_a_step_is_output(output: str) -> None:
    """Output that looks like a step, or like its end, is output."""
    run = (" ---> Running in 0123456789ab\n", output, "\n", output)
    fakes = ("Removing intermediate container ffffffffffff\n", " ---> Running in 111111111111\n")
    end = ("Removing intermediate container 0123456789ab\n", " ---> 8f0e784b549d\n")
    first = ("Step 1/2 : RUN a", "\n")
    assert streamed(*first, *run, *fakes, output) == [(1, 2)]
    assert streamed(*first, *run, *fakes, *end, "Step 2/2 : CMD b", "\n") == [(1, 2), (2, 2)]


REMOVED = [
    "Removing intermediate container 0123456789ab\n",
    " ---> Removed intermediate container 0123456789ab\n",
]


@pytest.mark.parametrize("removed", REMOVED)
def test_knows_the_end_of_a_step_of_each_engine(removed: str) -> None:
    """The engine's sentence about a removed container ends a step, whatever its version."""
    run = ("Step 1/2 : RUN a", "\n", " ---> Running in 0123456789ab\n", "out\n", removed)
    assert streamed(*run, "Step 2/2 : CMD b", "\n") == [(1, 2), (2, 2)]


@pytest.mark.parametrize("removed", REMOVED)
def test_a_command_cannot_end_its_own_step(removed: str) -> None:
    """A container that prints its own id is still there, so what follows is its output."""
    answers = [False, False, True]
    run = ("Step 1/2 : RUN a", "\n", " ---> Running in 0123456789ab\n")
    fakes = (removed, "Step 2/2 : x\n", removed, "Step 2/2 : x\n")
    assert streamed(*run, *fakes, is_gone=lambda _: answers.pop(0)) == [(1, 2)]
    answers = [False, False, True]
    end = (removed, "Step 2/2 : CMD b", "\n")
    steps = streamed(*run, *fakes, *end, is_gone=lambda _: answers.pop(0))
    assert steps == [(1, 2), (2, 2)]


def test_steps_are_counted_one_by_one() -> None:
    """Steps are counted without gaps, and their total stays."""
    texts = ("Step 1/3 : FROM a", "\n", "Step 3/3 : x\n", "Step 2/4 : x\n", "Step 2/3 : y", "\n")
    assert streamed(*texts) == [(1, 3), (2, 3)]


def test_a_failed_command_is_told_by_its_exit_code() -> None:
    """A failed command is reported by its exit code; the engine's sentence is in the log."""
    event = {"errorDetail": {"code": 7, "message": "…"}, "error": "The command returned 7"}
    with pytest.raises(BuildFailed) as caught:
        outcome(json.dumps(event).encode())
    assert str(caught.value) == "Docker build failed: exit code 7"


def test_another_failure_is_told_in_the_engines_words() -> None:
    """Another failure, such as a missing base image, is reported in the engine's words."""
    with pytest.raises(BuildFailed, match="Docker build failed: no such image"):
        outcome(b'{"errorDetail":{"message":"no such image"},"error":"no such image"}\r\n')


@pytest.mark.parametrize("stream", [b"", b'{"stream":"Step 1/2 : FROM x\\n"}\r\n', b"\r\n"])
def test_a_stream_without_an_end_is_a_failure(stream: bytes) -> None:
    """A stream without an end is a failure."""
    with pytest.raises(BuildFailed, match="aborted the build"):
        outcome(stream)


def test_output_that_is_not_json_is_shown_unchanged() -> None:
    """Output that is not JSON is shown unchanged."""
    seen = Seen()
    progress = Progress(seen, 1_000, gone)
    progress.feed(b"<html>\n" + STREAM)
    assert progress.finish() == "sha256:cafe"
    assert seen.said[0] == "<html>"


def test_an_endless_document_is_refused() -> None:
    """An endless JSON document is refused, so that memory is bounded."""
    progress = Progress(Seen(), 1_000, gone)
    progress.feed(b"x" * 10_000_000)
    with pytest.raises(EngineError, match="without an end"):
        progress.feed(b"x" * 10_000_000)


def test_the_request_names_everything(tmp_path: Path) -> None:
    """The request has the tag, Dockerfile, arguments and network, correctly quoted."""
    archive = tmp_path / "context.tar"
    archive.write_bytes(b"x" * 7)
    recipe = Recipe(archive, "a b/Dockerfile", "mist-app-1:2", {"K": "a&b\r\nX: y"}, "none")
    head = build._request(recipe).decode()
    first, *fields = head.split("\r\n")
    assert first.startswith("POST /build?t=mist-app-1%3A2&dockerfile=a+b%2FDockerfile&")
    assert first.endswith(" HTTP/1.0")
    assert "networkmode=none" in first
    assert "Content-Length: 7" in fields
    assert not any(field.startswith("X: y") for field in fields)


def test_the_request_has_the_limits(tmp_path: Path) -> None:
    """Limits of memory and processors are those of each step; without them there are none."""
    archive = tmp_path / "context.tar"
    archive.write_bytes(b"")
    recipe = Recipe(archive, "Dockerfile", "mist-app-1:2", {})
    first = build._request(recipe).decode().split("\r\n")[0]
    assert "memory" not in first
    assert "cpu" not in first
    limits = BuildLimits(memory=64 * 2**20, cpus=0.25)
    first = build._request(recipe._replace(limits=limits)).decode().split("\r\n")[0]
    assert "&memory=67108864&cpuperiod=100000&cpuquota=25000 HTTP/1.0" in first


class TestBuild:
    """A build at an engine."""

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        """A recipe with an archive of several pieces."""
        (tmp_path / "context.tar").write_bytes(b"x" * 200_000)
        return Recipe(tmp_path / "context.tar", "Dockerfile", "mist/app:7", {"A": "1"})

    @pytest.fixture
    def silent(self) -> Iterator[tuple[Settings, socket.socket]]:
        """An engine that accepts connections and does nothing by itself."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            host = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
            listening.settimeout(20)
            yield Settings(engine=EngineSettings(host=host)), listening

    def test_sends_the_archive_and_follows_the_output(
        self, server: EngineServer, recipe: Recipe
    ) -> None:
        """The engine gets the whole archive, and the image's id is returned."""
        server.answer("POST /build", b'{"stream": "before\\n"}\n' * 10_000 + STREAM)
        seen = Seen()
        logins = {"registry.test": {"username": "a", "password": "b"}}
        asked = recipe._replace(network="host", logins=logins)
        assert build.build(server.settings, asked, token(), seen) == "sha256:cafe"
        assert seen.said == ["before"] * 10_000 + LINES
        assert server.bodies == [recipe.archive.read_bytes()]
        [(_, query)] = server.queries
        assert (query["t"], query["networkmode"]) == ("mist/app:7", "host")
        assert json.loads(query["buildargs"]) == {"A": "1"}
        given = base64.urlsafe_b64decode(server.headers[0]["X-Registry-Config"])
        assert json.loads(given) == logins

    def test_asks_the_engine_whether_a_step_has_ended(
        self, server: EngineServer, recipe: Recipe
    ) -> None:
        """A step ends with its container, even if a command has printed the engine's sentence."""
        texts = ("Step 1/2 : RUN a", "\n", " ---> Running in 0123456789ab\n", REMOVED[0])
        output = [{"stream": text} for text in (*texts, "Step 2/2 : CMD b", "\n")]
        body = b"".join(json.dumps(event).encode() + b"\r\n" for event in output)
        server.answer("POST /build", body + b'{"aux":{"ID":"sha256:cafe"}}\n')
        server.answer("/containers/0123456789ab/json", {"Id": "0123456789ab"})
        seen = Seen()
        build.build(server.settings, recipe, token(), seen)
        assert (2, 2) not in seen.order
        del server.answers["/containers/0123456789ab/json"]
        build.build(server.settings, recipe, token(), seen)
        assert (2, 2) in seen.order

    def test_a_refusal_fails_the_build(self, server: EngineServer, recipe: Recipe) -> None:
        """The engine's message is the reason."""
        server.answer("POST /build", {"message": "dockerfile parse error"}, 400)
        with pytest.raises(BuildFailed, match="dockerfile parse error"):
            build.build(server.settings, recipe, token(), Seen())

    def test_an_archive_that_is_gone_ends_the_build(
        self, server: EngineServer, recipe: Recipe
    ) -> None:
        """The system's error is the reason."""
        recipe.archive.unlink()
        with pytest.raises(BuildBrokenOff, match="No such file"):
            build.build(server.settings, recipe, token(), Seen())

    @pytest.mark.parametrize("reset", [False, True])
    def test_an_engine_that_hangs_up_ends_the_build(
        self, silent: tuple[Settings, socket.socket], recipe: Recipe, reset: bool
    ) -> None:
        """An engine that ends, with or without a reset, is reported as gone."""
        settings, listening = silent
        with ThreadPoolExecutor(1) as pool:
            building = pool.submit(build.build, settings, recipe, token(), Seen())
            with accepted(listening) as connection:
                received = 0
                while received < 200_000:
                    received += len(connection.recv(65_536))
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65_536):
                        pass
            with pytest.raises(BuildBrokenOff, match="the Docker Engine disappeared"):
                building.result(20)

    def test_a_cancelled_build_closes_the_connection(
        self, silent: tuple[Settings, socket.socket], recipe: Recipe
    ) -> None:
        """The engine sees the end of the connection, and so abandons the build."""
        settings, listening = silent
        left = iter([None, None])  # checks while the engine is silent
        built = threading.Event()
        asked = token(lambda: next(left, "someone") if built.is_set() else None)
        with ThreadPoolExecutor(1) as pool:
            building = pool.submit(build.build, settings, recipe, asked, Seen())
            with accepted(listening) as connection:
                received = 0
                while received < 200_000:
                    received += len(connection.recv(65_536))
                built.set()
                with pytest.raises(Cancelled, match="someone"):
                    building.result(20)
                while connection.recv(65_536):
                    pass

    def test_a_cancellation_ends_the_sending(
        self, silent: tuple[Settings, socket.socket], recipe: Recipe
    ) -> None:
        """An engine that takes nothing does not hold up the cancellation."""
        settings, listening = silent
        recipe.archive.write_bytes(b"x" * 20_000_000)
        late = threading.Event()
        full = token(lambda: "someone" if late.is_set() else None)
        with ThreadPoolExecutor(1) as pool:
            building = pool.submit(build.build, settings, recipe, full, Seen())
            with accepted(listening) as connection:
                assert connection.recv(1), "the request"
                late.set()
                with pytest.raises(Cancelled):
                    building.result(20)


def accepted(listening: socket.socket) -> socket.socket:
    """Return the next connection, whose waits are bounded."""
    connection, _ = listening.accept()
    connection.settimeout(20)
    return connection


def token(cancelled_by: Callable[[], str | None] = lambda: None) -> CancellationToken:
    """Return a token that asks at each check."""
    return CancellationToken(cancelled_by, 0.0)
