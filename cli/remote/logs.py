"""``mist logs`` of a service on another machine."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from cli import terminal
from cli.remote.following import StreamEnded, follow
from cli.remote.service import RemoteService
from mist import close_codes
from mist.errors import Exit

_PATH: Final = "/ws/container/logs"


class _Data(msgspec.Struct):
    """The fields of all messages of a log."""

    line: str = ""
    stream: str = "stdout"
    pos: str | None = None
    container: str = ""
    state: str = ""
    status: str = ""
    message: str = ""


class _Message(msgspec.Struct):
    """A message of a log."""

    type: str
    timestamp: str
    data: _Data


_decode: Final = msgspec.json.Decoder(_Message).decode


def show(service: RemoteService, app: str, timestamps: bool, **wanted: Any) -> int:
    """Print the log of an application until it ends, and return the exit status.

    ``wanted`` are ``tail``, ``since`` and ``stopped`` of the stream.
    """
    last: str | None = None
    found = service.find_app(app)

    def parameters() -> dict[str, object]:
        again = wanted if last is None else {"since": last, "stopped": wanted.get("stopped")}
        return {"appId": found["id"], "pos": 1, **again}

    failed = False
    try:
        for raw in follow(service, _PATH, parameters):
            message = _decode(raw)
            last = message.data.pos or last
            failed = failed or message.type == "error"
            _print(message, timestamps)
    except StreamEnded as ended:
        if ended.code == close_codes.TRY_AGAIN_LATER:
            return Exit.UNAVAILABLE
        if ended.code in {close_codes.SESSION_EXPIRED, close_codes.PERMISSION_DENIED}:
            return Exit.NO_PERMISSION
        return Exit.FAILURE if failed or ended.code != close_codes.NORMAL else Exit.OK
    raise AssertionError("a stream ends with an exception")


def _print(message: _Message, timestamps: bool) -> None:
    data = message.data
    if message.type == "log":
        text = f"{message.timestamp} {data.line}" if timestamps else data.line
        if data.stream == "stderr":
            terminal.write_error_line(text)
        else:
            terminal.write_line(text)
            terminal.flush()
    elif message.type == "status":
        terminal.note(f"mist: {data.container} is {data.state} ({data.status})")
    else:
        terminal.note(f"mist: {data.message}")
