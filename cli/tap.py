"""``mist tap``: print bus messages as newline-delimited JSON on standard output."""

from __future__ import annotations

import re

import click
import zmq

from bus import topics, wire
from bus.replay_client import ANSWER_SECONDS
from bus.subscriber import ask_replay, events_socket
from cli import terminal
from mist.errors import UsageError, WireError
from mist.paths import resolve_paths
from mist.settings import load_settings

# Without the closing slash, container/1 would also match container/10/.
_UNFINISHED = re.compile(
    r"(?:container|deployment)(?P<id>/[1-9][0-9]*)?|stats(?P<name>/[\w.-]+)?|(?P<all>containers)"
)


@click.command("tap")
@click.argument("topic", default="")
def command(topic: str) -> None:
    """Print the messages under TOPIC, a prefix such as metrics/ or container/1/.

    Subscribing to container/ID/ starts the collector of that application's log,
    containers/ that of the host's containers, and stats/NAME/ that of one container's
    figures.  An empty TOPIC prints every message on the bus and starts nothing.
    """
    if not topics.is_prefix(topic.encode()):
        raise UsageError(
            f"no topic begins with {topic!r}; use container/ID/, deployment/ID/, metrics/, "
            "containers/ or stats/NAME/"
        )
    if hint := _hint(topic):
        terminal.note(hint)
    with terminal.quiet_ending(), terminal.bus_context() as context:
        paths, settings = resolve_paths(), load_settings(or_defaults=True)
        # Fails with a clear message if no broker is running; subscribing would wait forever.
        ask_replay(context, paths, topics.METRICS, timeout=ANSWER_SECONDS)
        with events_socket(context, paths, settings) as events:
            events.subscribe(topic.encode())
            _print(events)


def _hint(topic: str) -> str:
    """Return a hint about a topic without its closing slash, which is rarely intended."""
    match = _UNFINISHED.fullmatch(topic)
    if match is None:
        return ""
    missing = "/" if match.lastgroup else "/NAME/" if topic == "stats" else "/ID/"
    return f"mist: {topic!r} starts no collector; try {topic + missing!r}"


def _print(events: zmq.Socket[bytes]) -> None:
    poller = zmq.Poller()
    poller.register(events, zmq.POLLIN)
    poller.register(terminal.STDOUT, zmq.POLLERR)  # reports that the reader has gone (poll(2))
    while True:
        ready = dict(poller.poll())
        if ready.get(terminal.STDOUT):  # the reader of the pipe has gone; a quiet bus would hide it
            raise BrokenPipeError
        _print_one(events.recv_multipart())


def _print_one(frames: list[bytes]) -> None:
    try:
        message = wire.parse(frames)
    except WireError as error:
        # The publisher may be of another version; continue with the next message.
        terminal.note(f"mist: {error}")
        return
    if message.body:  # some kinds, such as READY, have none
        terminal.write_json(message.body)
