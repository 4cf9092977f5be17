"""Tests of the stream of a build, and of the request for it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.errors import EngineError
from workers.deployment import build
from workers.deployment.build import Progress, Recipe
from workers.deployment.errors import BuildFailed

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


def outcome(stream: bytes) -> str:
    """Return the result of a stream."""
    progress = Progress(Seen(), 1_000)
    progress.feed(stream)
    return progress.finish()


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces_give_the_same_build(cuts: list[int]) -> None:
    """Lines, steps and image do not depend on how the stream is split."""
    seen = Seen()
    progress = Progress(seen, 1_000)
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        progress.feed(STREAM[start:end])
    assert progress.finish() == "sha256:cafe"
    assert seen.said == LINES
    assert seen.order[3] == (1, 2)
    assert seen.order.index((2, 2)) == seen.order.index("Step 2/2 : RUN seq 3") + 1


def streamed(*texts: str) -> list[tuple[int, int]]:
    """Return the steps of a build with these messages."""
    seen = Seen()
    progress = Progress(seen, 1_000)
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
    progress = Progress(seen, 1_000)
    progress.feed(b"<html>\n" + STREAM)
    assert progress.finish() == "sha256:cafe"
    assert seen.said[0] == "<html>"


def test_an_endless_document_is_refused() -> None:
    """An endless JSON document is refused, so that memory is bounded."""
    progress = Progress(Seen(), 1_000)
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
