"""``mist logs`` of a service on another machine."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from cli import terminal
from cli.log_source import Choice
from cli.remote.following import StreamEnded, follow
from cli.remote.service import RemoteService, Unreachable
from mist import close_codes
from mist.errors import Exit
from mist.read_request import ReadRequest

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
    reached: str | None = None
    complete: bool = True


class _Message(msgspec.Struct):
    """A message of a log."""

    type: str
    timestamp: str
    data: _Data


_decode: Final = msgspec.json.Decoder(_Message).decode


class Log(NamedTuple):
    """One log, by the parameters of its stream and the path of its older lines."""

    parameters: dict[str, object]
    older: str


def find_log(service: RemoteService, app: str | None, container: str | None) -> Log:
    """Return the log of an application, or of a container."""
    if app is None:
        name = quote(container or "", safe="")
        return Log({"container": container}, f"/api/containers/{name}/logs")
    found = service.find_app(app)
    return Log({"appId": found["id"]}, f"/api/apps/{found['id']}/logs")


def show(service: RemoteService, one: Log, choice: Choice, timestamps: bool) -> int:
    """Print a range of the log, or follow it until it ends; return the exit status."""
    begin: dict[str, object] = {"tail": choice.tail}
    if choice.older:
        reached, status = _range(service, one, choice.request, timestamps)
        if status or not choice.follow:
            return status
        # After the last line that was read, whether it matched or not.
        begin = {"since": reached} if reached else {"tail": 0}
    last: str | None = None

    def parameters() -> dict[str, object]:
        again = {"since": last} if last else begin
        return {**one.parameters, "pos": 1, "stopped": int(choice.stopped), **again}

    failed = False
    try:
        for raw in follow(service, _PATH, parameters):
            message = _decode(raw)
            last = message.data.pos or last
            failed = failed or message.type == "error"
            if message.type != "log" or choice.matches(message.data.line):
                _print(message, timestamps)
    except StreamEnded as ended:
        if ended.code == close_codes.TRY_AGAIN_LATER:
            return Exit.UNAVAILABLE
        if ended.code in {close_codes.SESSION_EXPIRED, close_codes.PERMISSION_DENIED}:
            return Exit.NO_PERMISSION
        return Exit.FAILURE if failed or ended.code != close_codes.NORMAL else Exit.OK
    raise AssertionError("a stream ends with an exception")


def _range(
    service: RemoteService, one: Log, asked: ReadRequest, timestamps: bool
) -> tuple[str | None, int]:
    """Print older lines; return the time of the last one that was read, and the exit status."""
    wanted: dict[str, object] = {"since": asked.since, "until": asked.until, "tail": asked.tail}
    if asked.q:
        wanted |= {"q": asked.q, "regex": int(asked.regex), "case": int(asked.case)}
        wanted["invert"] = int(asked.invert)
    for raw in service.lines(one.older, **wanted):
        if not raw:
            continue
        message = _decode(raw)
        if message.type != "end":
            _print(message, timestamps)
            continue
        terminal.flush()
        if message.data.message:
            terminal.note(f"mist: {message.data.message}")
        return message.data.reached, Exit.OK if message.data.complete else Exit.FAILURE
    raise Unreachable(f"{service.url}: the answer broke off before its end")


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
