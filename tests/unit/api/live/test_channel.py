"""Tests of a channel: what each client receives, when, and how its stream ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from api.live.channel import Channel, SubscribeOptions
from api.websocket.connection import Connection, FrameSource
from api.websocket.frames import payloads
from bus.replay import Snapshot
from bus.wire import Flag, Header, Kind, Message
from mist import clock, messages
from mist.log_range import LinePosition
from mist.messages import ContainerStatus
from mist.settings import ReplaySettings, Settings

TOPIC = b"container/1/log"
LAST_100 = SubscribeOptions(100)


class Client:
    """The part of a connection that a channel uses; keeps what it is sent."""

    def __init__(self) -> None:
        self.source: FrameSource | None = None
        self.received: list[dict[str, Any]] = []
        self.code: int | None = None

    def flush(self) -> None:
        """Take everything that the source has."""
        while self.source is not None and (buffers := self.source.take()):
            frames = b"".join(buffers)
            self.received += [json.loads(frames[start:end]) for _, start, end in payloads(frames)]

    def finish(self, code: int) -> None:
        """Take what is left and record the close code."""
        self.flush()
        self.code = code

    def types(self) -> list[str]:
        """Return the types of the received messages, collapsing repetitions."""
        found = [message["type"] for message in self.received]
        return [name for index, name in enumerate(found) if found[index - 1 : index] != [name]]

    def lines(self) -> list[str]:
        """Return the received lines."""
        return [m["data"]["line"] for m in self.received if m["type"] == "log"]


class Bench:
    """A channel, a collector's numbering, and a clock that the test moves."""

    def __init__(self, replay_lines: int = 1_000) -> None:
        self.later: list[tuple[float, Callable[[Connection], None], Connection]] = []
        settings = Settings(replay=ReplaySettings(lines=replay_lines))
        self.channel = Channel(settings, later=self._later)
        self.seq = 1
        self.line = 0

    def _later(
        self, seconds: float, call: Callable[[Connection], None], client: Connection
    ) -> None:
        self.later.append((seconds, call, client))

    def pass_seconds(self, seconds: float) -> None:
        """Advance the clock and run due timers."""
        due = [entry for entry in self.later if entry[0] <= seconds]
        for entry in due:
            self.later.remove(entry)
            entry[1](entry[2])

    def join(self, wish: SubscribeOptions = LAST_100) -> Client:
        """Add a client."""
        client = Client()
        self.channel.add(cast(Connection, client), wish)
        return client

    def message(self, kind: Kind, body: bytes, count: int = 1, **more: Any) -> Message:
        """Return the collector's next message."""
        header = Header(kind, 1, 1, self.seq, count, **more)
        self.seq += count
        return Message(TOPIC, header, body)

    def status(self, state: str = "running", flags: Flag = Flag.HISTORY) -> Message:
        """Return a status message."""
        data = ContainerStatus("mist-app-1", state, "Up 2 hours")
        return self.message(Kind.STATUS, messages.status(data), flags=flags)

    def lines(self, count: int, **more: Any) -> Message:
        """Return ``count`` numbered lines."""
        numbers = range(self.line, self.line + count)
        self.line += count
        body = b"\n".join(messages.log(clock.rfc3339(n), str(n), "stdout") for n in numbers)
        return self.message(Kind.LOG, body, count, **more)

    def history(self, count: int) -> list[Message]:
        """Return the messages that a collector starts with."""
        return [
            self.status(),
            self.lines(count, flags=Flag.HISTORY),
            self.message(Kind.READY, b""),
        ]

    def feed(self, *arrived: Message) -> None:
        """Deliver live messages."""
        for message in arrived:
            self.channel.feed(message)
        self.channel.flush()

    def fill(self, *remembered: Message) -> None:
        """Deliver a replay."""
        self.channel.fill(Snapshot(TOPIC, 1, 1, self.seq - 1, list(remembered)), settled=False)
        self.channel.flush()

    def end(self) -> Message:
        """Stop the container."""
        return self.message(Kind.END, messages.end(), code=1000)


def test_client_waits_for_the_history() -> None:
    """A client that arrives before the collector gets the status, the tail and live lines."""
    bench = Bench()
    client = bench.join(SubscribeOptions(3))
    bench.fill()
    history = bench.history(5)
    bench.feed(*history[:2])
    assert client.received == []
    bench.feed(history[2], bench.lines(2))
    assert client.types() == ["status", "log"]
    assert client.lines() == ["2", "3", "4", "5", "6"]


def test_late_client_is_served_from_memory() -> None:
    """A client that arrives while the collector runs gets the same at once."""
    bench = Bench()
    bench.join()
    bench.fill(*bench.history(5))
    late = bench.join(SubscribeOptions(2))
    assert late.lines() == ["3", "4"]


def test_missing_messages_are_waited_for() -> None:
    """Messages after a lost one are held until a replay brings it."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1))
    lost, later = bench.lines(1), bench.lines(1)
    bench.feed(later)
    assert client.lines() == ["0"]
    assert bench.channel.missing
    bench.fill(lost, later)
    assert client.lines() == ["0", "1", "2"]


def test_replay_from_before_the_loss_does_not_count() -> None:
    """A replay that ends before the held messages was requested too early to prove a loss."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1))
    early = Snapshot(TOPIC, 1, 1, bench.seq - 1, [])
    lost, later = bench.lines(1), bench.lines(1)
    bench.feed(later)
    bench.channel.fill(early, settled=False)
    assert bench.channel.missing
    bench.fill(lost, later)
    assert client.lines() == ["0", "1", "2"]


def test_lost_messages_are_told() -> None:
    """A loss that no replay can fill is reported as skipped."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1))
    bench.lines(4)
    later = bench.lines(1)
    bench.feed(later)
    bench.fill(later)
    assert [m["data"]["lines"] for m in client.received if m["type"] == "skipped"] == [4]
    assert client.lines() == ["0", "5"]


def test_lines_that_the_source_has_lost_are_told_in_their_place() -> None:
    """What the collector says about missing lines reaches the clients as it is."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1))
    bench.feed(bench.message(Kind.SKIPPED, messages.skipped(7, "rotated")), bench.lines(1))
    assert [m["type"] for m in client.received] == ["status", "log", "skipped", "log"]
    assert client.received[2]["data"]["reason"] == "rotated"


def test_a_position_that_nobody_knows_is_told_without_a_number() -> None:
    """Its numbering ended with a restart, so nobody can count what came after it."""
    bench = Bench()
    bench.join()
    bench.fill(*bench.history(2))
    client = bench.join(SubscribeOptions(None, since=LinePosition(0, 7)))
    [skipped] = [m["data"] for m in client.received if m["type"] == "skipped"]
    assert (skipped["lines"], skipped["reason"]) == (messages.UNKNOWN, "restart")
    assert client.lines() == ["0", "1"]


def test_end_closes_after_the_last_line() -> None:
    """The close frame follows the end message, and nothing follows the close frame."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1))
    bench.feed(bench.lines(1), bench.status("exited", Flag(0)), bench.end())
    assert client.types() == ["status", "log", "status", "end"]
    assert client.code == 1000
    assert bench.channel.clients == 0


def test_remembered_ending_is_confirmed_first() -> None:
    """A remembered end is confirmed first, because the container may have been restarted."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(1), bench.status("exited", Flag(0)), bench.end())
    assert client.code is None
    bench.feed(bench.status("running", Flag(0)))
    assert client.types() == ["status", "log"]
    assert client.code is None


def test_client_after_the_end_reads_that_nothing_runs() -> None:
    """A client of a stopped container gets an error, after the tail if it asked for one."""
    bench = Bench()
    plain, curious = bench.join(), bench.join(SubscribeOptions(100, stopped=True))
    bench.fill(*bench.history(2), bench.status("exited", Flag(0)), bench.end())
    bench.pass_seconds(1.0)
    assert plain.types() == ["status", "error"]
    assert curious.types() == ["status", "log", "error"]
    assert plain.received[-1]["data"]["message"] == "Container is not running (state: exited)"
    assert (plain.code, curious.code) == (4409, 4409)


def test_collector_that_does_not_come_is_told() -> None:
    """A client is told when the collector does not start in time."""
    bench = Bench()
    client = bench.join()
    bench.pass_seconds(60.0)
    assert client.types() == ["error"]
    assert client.code == 1013


def test_since_beyond_memory_begins_with_skipped() -> None:
    """A client that was away for too long is told what it missed before it resumes."""
    bench = Bench(replay_lines=5)
    bench.join()
    bench.fill(*bench.history(5))
    bench.feed(bench.lines(3))
    client = bench.join(SubscribeOptions(None, since=clock.rfc3339(0)))
    assert client.types() == ["status", "skipped", "log"]
    assert client.received[1]["data"]["lines"] == 2
    assert client.lines() == ["3", "4", "5", "6", "7"]


def test_since_within_memory_skips_nothing() -> None:
    """A client that returns soon resumes right after its last line."""
    bench = Bench(replay_lines=5)
    bench.join()
    bench.fill(*bench.history(5))
    client = bench.join(SubscribeOptions(None, since=clock.rfc3339(2)))
    assert client.types() == ["status", "log"]
    assert client.lines() == ["3", "4"]


def test_new_epoch_overlaps_with_what_was_seen() -> None:
    """The history of a restarted service repeats no line."""
    bench = Bench()
    client = bench.join()
    bench.fill(*bench.history(3))
    bench.line, bench.seq = 1, 1
    fresh = [
        Message(
            TOPIC, Header(m.header.kind, 2, 2, m.header.seq, m.header.count, m.header.flags), m.body
        )
        for m in bench.history(4)
    ]
    bench.feed(fresh[0])
    bench.channel.fill(Snapshot(TOPIC, 2, 2, bench.seq - 1, fresh), settled=False)
    bench.channel.flush()
    assert client.lines() == ["0", "1", "2", "3", "4"]
    assert client.types() == ["status", "log", "status", "log"]


def test_who_comes_after_the_end_waits_with_one_timer() -> None:
    """Each client of a stopped container sets one timer."""
    bench = Bench()
    bench.fill(*bench.history(1), bench.end())
    clients = [bench.join() for _ in range(50)]
    bench.fill()
    doubts = [entry for entry in bench.later if entry[1] == bench.channel.serve]
    assert len(doubts) == len(clients)
    bench.pass_seconds(1)
    assert {client.code for client in clients} == {4409}
