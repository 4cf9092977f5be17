"""Build an image with the engine's build API, and follow the output.

The request has a connection of its own, in HTTP/1.0 so that the answer is not chunked.
Closing the connection cancels the build: the engine stops the running step and removes its
container.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from mist.errors import EngineError
from mist.settings import Settings
from mist.store.records import BuildLimits
from workers import engine
from workers.deployment.cancellation import SLICE, CancellationToken
from workers.deployment.errors import BuildBrokenOff, BuildFailed
from workers.deployment.text import Lines

_STEP: Final = re.compile(r"Step (\d{1,9})/(\d{1,9}) : ")
_RUNNING: Final = re.compile(r" ---> Running in ([0-9a-f]{12})\n")
# The second is that of Docker 24 and later.
_REMOVED: Final = re.compile(r"(?:Removing| ---> Removed) intermediate container ([0-9a-f]{12})\n")
_PIECE: Final = 65_536
# In microseconds, the kernel's default (sched-bwc.rst).
_CPU_PERIOD: Final = 100_000
# No document in the answer is larger than this.
_DOCUMENT_BYTES: Final = 16 * 1024 * 1024


class Recipe(NamedTuple):
    """The input of a build: the archive, the Dockerfile's path in it, and the image's name.

    ``network`` is the engine's name for the network of the steps, or empty for its default.
    ``logins`` are the credentials for the registries of the base images, ``limits`` those of
    each step.
    """

    archive: Path
    dockerfile: str
    tag: str
    arguments: Mapping[str, str]
    network: str = ""
    logins: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    limits: BuildLimits = BuildLimits()


class BuildWatcher(Protocol):
    """A receiver of a build's progress."""

    def lines(self, texts: list[str]) -> None:
        """Take lines of the build's output."""

    def step(self, number: int, count: int) -> None:
        """Take the start of step ``number`` of ``count``."""


class _Steps:
    """Tell the engine's own messages from the output of the containers it builds in.

    Both arrive as ``stream`` messages, and nothing marks them.  But the engine sends each of
    its sentences as one message, numbers the steps without gaps, and names a step's
    container before and after its output.  Whatever comes in between is not the engine's.
    A container knows its own id, so ``is_gone`` has to confirm that it was removed.
    """

    def __init__(self, is_gone: Callable[[str], bool]) -> None:
        self._is_gone = is_gone
        self._last = (0, 0)
        self._container = ""

    def take(self, message: str) -> tuple[int, int] | None:
        """Return the number and count of the step that ``message`` begins, or None."""
        if self._container:
            removed = _REMOVED.fullmatch(message)
            if removed and removed[1] == self._container and self._is_gone(removed[1]):
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
    """A parser of the build stream, without I/O: feed bytes, then call ``finish``.

    The stream is one JSON document per line (Docker Engine API, "Build an image").
    ``is_gone`` tells whether the engine has removed the container with this id.
    ``image`` is the image's id, once the engine has reported it; ``failure`` is the engine's
    error, once it has reported one.
    """

    def __init__(
        self, watcher: BuildWatcher, line_bytes: int, is_gone: Callable[[str], bool]
    ) -> None:
        self.image: str | None = None
        self.failure: BuildFailed | None = None
        self._watcher = watcher
        self._lines = Lines(line_bytes)
        self._steps = _Steps(is_gone)
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
        """Return the image's id; raise BuildFailed if there is none."""
        self.feed(b"\n")
        self._ready += self._lines.rest()
        self._pass_on()
        if self.failure is not None:
            raise self.failure
        if self.image is None:
            raise BuildBrokenOff("the Docker Engine aborted the build")
        return self.image

    def _document(self, data: bytes) -> None:
        try:
            event = self._decode(data)
        except msgspec.DecodeError:
            # Not JSON, so shown as it is.
            event = {"stream": data.decode(errors="replace") + "\n"}
        if "error" in event:
            self._fail(event)
        elif "stream" in event:
            self._output(str(event["stream"]))
        elif event.get("status") and not event.get("progressDetail"):
            # The layers of a base image.  Their progress would flood the log.
            layer = f"{event['id']}: " if event.get("id") else ""
            self._ready.append(f"{layer}{event['status']}")
        elif "aux" in event:
            self.image = (event["aux"] or {}).get("ID", self.image)

    def _output(self, text: str) -> None:
        self._begun = self._steps.take(text) or self._begun
        for line in self._lines.feed(text):
            self._ready.append(line)
            # The step is reported after the lines before it and before the lines after it.
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
    """Build an image and return its id.

    Raise BuildFailed, EngineUnreachable, or the cancellation's exceptions; the engine then
    has abandoned the build.
    """
    progress = Progress(watcher, settings.collector.line_bytes, partial(_is_gone, settings))
    with engine.dial(settings) as connection:
        connection.settimeout(SLICE)  # so that every wait checks the cancellation
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
            # The engine was there when the build began, so this is a failed build.
            if isinstance(error, ConnectionError):
                raise BuildBrokenOff("the Docker Engine disappeared during the build") from None
            raise BuildBrokenOff(error.strerror or str(error)) from None
    return progress.finish()


def _is_gone(settings: Settings, container: str) -> bool:
    """Return True unless the engine still has the container."""
    try:
        engine.get_json(settings, f"/containers/{container}/json")
    except EngineError:
        return True  # also for an engine that does not say, because few outputs are forged
    return False


def _request(recipe: Recipe) -> bytes:
    query = {
        "t": recipe.tag,
        "dockerfile": recipe.dockerfile,
        "buildargs": json.dumps(dict(recipe.arguments)),
        # Remove the containers of the steps, even after a failure.
        "rm": "1",
        "forcerm": "1",
    }
    if recipe.network:
        query["networkmode"] = recipe.network
    if recipe.limits.memory is not None:
        query["memory"] = str(recipe.limits.memory)
    if recipe.limits.cpus is not None:
        # The API of a build has no ``NanoCpus``.
        query["cpuperiod"] = str(_CPU_PERIOD)
        query["cpuquota"] = str(round(recipe.limits.cpus * _CPU_PERIOD))
    headers = [
        "Content-Type: application/x-tar",
        f"Content-Length: {recipe.archive.stat().st_size}",
    ]
    if recipe.logins:
        # The engine decodes this header as URL-safe base64.
        encoded = base64.urlsafe_b64encode(json.dumps(dict(recipe.logins)).encode())
        headers.append(f"X-Registry-Config: {encoded.decode()}")
    return engine.request("POST", "/build", query, headers)


def _send(
    connection: socket.socket, head: bytes, archive: Path, cancellation: CancellationToken
) -> None:
    with archive.open("rb") as file:
        piece = head
        # An engine that refuses the request hangs up early; its response says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            while piece:
                _send_piece(connection, piece, cancellation)
                piece = file.read(_PIECE)


def _send_piece(connection: socket.socket, piece: bytes, cancellation: CancellationToken) -> None:
    left = memoryview(piece)  # the rest of a partial send is not copied
    while left:
        cancellation.check()
        with suppress(TimeoutError):
            left = left[connection.send(left) :]


def _receive(connection: socket.socket, cancellation: CancellationToken) -> Iterator[bytes]:
    """Yield the engine's bytes until it hangs up."""
    while True:
        cancellation.check()
        try:
            piece = connection.recv(_PIECE)
        except TimeoutError:
            continue
        except ConnectionResetError:
            # The engine hung up with part of the archive unread, as it does after an error.
            return
        if not piece:
            return
        yield piece
