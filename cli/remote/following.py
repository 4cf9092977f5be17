"""Follow a stream of another machine: connect again where it broke off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from cli.remote.service import RemoteService, Unreachable
from mist import close_codes

# Without a message for so many seconds, a stream is idle.
_IDLE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.5
_MAX_PAUSE_SECONDS: Final = 15.0
# After a connection of so many seconds, the pauses begin with the shortest one again.
_STABLE_SECONDS: Final = 1.0


class StreamEnded(Exception):
    """The stream is over; ``code`` is that of the close frame."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def follow(
    service: RemoteService,
    path: str,
    parameters: Callable[[], dict[str, object]],
    note: Callable[[str], None],
    idle: Callable[[], None],
) -> Iterator[bytes]:
    """Yield messages until StreamEnded; connect again after a connection that broke.

    A stream that is closed without a refusal counts as broken as long as the caller iterates,
    because proxies close streams with any code, even 1000.
    ``parameters`` are asked for before each connection, so that they can name the place to
    continue.  Only the first connection must succeed.  ``note`` is given what a person should
    know, and ``idle`` is called after each second without a message.
    """
    began, told, pause = False, False, 0.0
    while True:
        stable = float("inf")
        try:
            with service.stream(path, **parameters()) as stream:
                began, stable = True, time.monotonic() + _STABLE_SECONDS
                for message in _messages(stream, idle):
                    told = False
                    yield message
        except Unreachable:
            if not began:
                raise
        except StreamEnded as ended:
            if _is_refusal(ended.code):
                raise
        if not told:
            note(f"the connection to {service.url} broke; trying again")
            told = True
        pause = longer(0.0 if time.monotonic() >= stable else pause)
        time.sleep(pause)


def _is_refusal(code: int) -> bool:
    """Return True for the codes with which the service says that it does not serve a stream."""
    return code == close_codes.TRY_AGAIN_LATER or 4400 <= code < 4500


def longer(pause: float) -> float:
    """Return how long to wait after an attempt that failed; ``pause`` is the last such time."""
    return min(pause * 2, _MAX_PAUSE_SECONDS) or _PAUSE_SECONDS


def receive(stream: ClientConnection, seconds: float) -> bytes | None:
    """Return the next message, or None after ``seconds``; raise StreamEnded at the end."""
    try:
        message = stream.recv(timeout=seconds)
    except TimeoutError:
        return None
    except ConnectionClosed as closed:
        raise StreamEnded(closed.rcvd.code if closed.rcvd else 1006) from None
    return message.encode() if isinstance(message, str) else message


def _messages(stream: ClientConnection, idle: Callable[[], None]) -> Iterator[bytes]:
    while True:
        message = receive(stream, _IDLE_SECONDS)
        if message is None:
            idle()
        else:
            yield message
