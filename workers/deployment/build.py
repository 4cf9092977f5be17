"""Builds an image with the engine's build API, and follows its stream.

The request goes over a connection of its own, in HTTP/1.0 so that the answer is
not chunked.  Closing that connection is what cancels a build: the engine stops
the step that runs and removes its container.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from mist.errors import EngineError
from mist.settings import Settings
from workers import engine
from workers.deployment.cancellation import SLICE, CancellationToken
from workers.deployment.errors import BuildFailed
from workers.deployment.text import Lines

_STEP: Final = re.compile(r"Step (\d{1,9})/(\d{1,9}) : ")
_RUNNING: Final = re.compile(r" ---> Running in ([0-9a-f]{12})\n")
_REMOVED: Final = "Removing intermediate container {}\n"
_PIECE: Final = 65_536
#: A document of the answer's stream is smaller than this.
_DOCUMENT_BYTES: Final = 16 * 1024 * 1024


class Recipe(NamedTuple):
    """What to build: the archive, the Dockerfile's place in it, and the image's name.

    ``network`` is the engine's word for that of the steps, empty for its default;
    ``logins`` are those of the registries that the base images come from.
    """

    archive: Path
    dockerfile: str
    tag: str
    arguments: Mapping[str, str]
    network: str = ""
    logins: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class BuildWatcher(Protocol):
    """Whoever is told how a build goes on."""

    def lines(self, texts: list[str]) -> None:
        """Lines of the build's output."""

    def step(self, number: int, count: int) -> None:
        """Step ``number`` of ``count`` begins."""


class _Steps:
    """Tells the engine's own words from the output of the containers that it builds in.

    Both come as ``stream`` messages, and nothing marks them.  But the engine writes each
    of its sentences as one message, counts the steps one by one, and names a step's
    container before and after its output: what comes in between is not the engine's.
    """

    def __init__(self) -> None:
        self._last = (0, 0)
        self._container = ""

    def take(self, message: str) -> tuple[int, int] | None:
        """Return the number and count of the step that begins with ``message``, if one does."""
        if self._container:
            if message == _REMOVED.format(self._container):
                self._container = ""
            return None
        if running := _RUNNING.fullmatch(message):
            self._container = running[1]
        step = _STEP.match(message)
        if step is None:
            return None
        number, count = int(step[1]), int(step[2])
        if number != self._last[0] + 1 or self._last[1] not in (0, count):
            return None
        self._last = (number, count)
        return self._last


class Progress:
    """Understands the stream of a build, without I/O: feed bytes, and look at the outcome.

    The stream is JSON documents, each on a line (Docker Engine API, "Build an
    image").  ``image`` is set once the image is there; ``failure`` once the
    engine has said that it will not be.
    """

    def __init__(self, watcher: BuildWatcher, line_bytes: int) -> None:
        self.image: str | None = None
        self.failure: BuildFailed | None = None
        self._watcher = watcher
        self._lines = Lines(line_bytes)
        self._steps = _Steps()
        self._begun: tuple[int, int] | None = None
        self._ready: list[str] = []
        self._held = b""
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        *documents, self._held = (self._held + data).split(b"\n")
        if len(self._held) > _DOCUMENT_BYTES:
            raise EngineError("the engine's answer to a build has a line without an end")
        for document in documents:
            if document.strip():
                self._document(document)
        self._pass_on()

    def finish(self) -> str:
        """The image's id; BuildFailed if there is none."""
        self.feed(b"\n")
        self._ready += self._lines.rest()
        self._pass_on()
        if self.failure is not None:
            raise self.failure
        if self.image is None:
            raise BuildFailed("the Docker Engine broke the build off")
        return self.image

    def _document(self, data: bytes) -> None:
        try:
            event = self._decode(data)
        except msgspec.DecodeError:
            event = {"stream": data.decode(errors="replace") + "\n"}
        if "error" in event:
            self._fail(event)
        elif "stream" in event:
            self._output(str(event["stream"]))
        elif event.get("status") and not event.get("progressDetail"):
            # The layers of a base image: how far each has come would be too many lines.
            layer = f"{event['id']}: " if event.get("id") else ""
            self._ready.append(f"{layer}{event['status']}")
        elif "aux" in event:
            self.image = (event["aux"] or {}).get("ID", self.image)

    def _output(self, text: str) -> None:
        self._begun = self._steps.take(text) or self._begun
        for line in self._lines.feed(text):
            self._ready.append(line)
            if self._begun:
                self._pass_on()
                self._watcher.step(*self._begun)
                self._begun = None

    def _pass_on(self) -> None:
        if self._ready:
            self._watcher.lines(self._ready)
            self._ready = []

    def _fail(self, event: dict[str, Any]) -> None:
        self._ready += [*self._lines.rest(), str(event["error"])]
        code = (event.get("errorDetail") or {}).get("code")
        self.failure = BuildFailed(str(event["error"]), code if isinstance(code, int) else None)


def build(
    settings: Settings,
    recipe: Recipe,
    cancellation: CancellationToken,
    watcher: BuildWatcher,
) -> str:
    """Build, and return the image's id.

    Raises BuildFailed, EngineUnreachable, and what the cancellation raises; the engine
    has given the build up then.
    """
    progress = Progress(watcher, settings.collector.line_bytes)
    with engine.dial(settings) as connection:
        connection.settimeout(SLICE)
        try:
            _send(connection, _request(recipe), recipe.archive, cancellation)
            pieces = _receive(connection, cancellation)
            status, begun = engine.read_head(lambda: next(pieces, b""))
            if status != 200:
                raise BuildFailed(str(engine.EngineRefused(status, begun + b"".join(pieces))))
            progress.feed(begun)
            for piece in pieces:
                progress.feed(piece)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise BuildFailed("the Docker Engine has gone in the middle of it") from None
            raise BuildFailed(error.strerror or str(error)) from None
    return progress.finish()


def _request(recipe: Recipe) -> bytes:
    query = {
        "t": recipe.tag,
        "dockerfile": recipe.dockerfile,
        "buildargs": json.dumps(dict(recipe.arguments)),
        "rm": "1",
        "forcerm": "1",
    }
    if recipe.network:
        query["networkmode"] = recipe.network
    headers = [
        "Content-Type: application/x-tar",
        f"Content-Length: {recipe.archive.stat().st_size}",
    ]
    if recipe.logins:
        encoded = base64.urlsafe_b64encode(json.dumps(dict(recipe.logins)).encode())
        headers.append(f"X-Registry-Config: {encoded.decode()}")
    return engine.request("POST", "/build", query, headers)


def _send(
    connection: socket.socket, head: bytes, archive: Path, cancellation: CancellationToken
) -> None:
    with archive.open("rb") as file:
        piece = head
        # An engine that refuses the request hangs up early; its answer says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            while piece:
                _send_piece(connection, piece, cancellation)
                piece = file.read(_PIECE)


def _send_piece(connection: socket.socket, piece: bytes, cancellation: CancellationToken) -> None:
    left = memoryview(piece)
    while left:
        cancellation.check()
        with suppress(TimeoutError):
            left = left[connection.send(left) :]


def _receive(connection: socket.socket, cancellation: CancellationToken) -> Iterator[bytes]:
    """Whatever comes, until the engine hangs up."""
    while True:
        cancellation.check()
        try:
            piece = connection.recv(_PIECE)
        except TimeoutError:
            continue
        except ConnectionResetError:
            # The engine hung up with a part of the archive unread, as it does after an error.
            return
        if not piece:
            return
        yield piece
