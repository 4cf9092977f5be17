"""Burst and drip: one stream to many clients, compared with a plain server and the floor.

All three servers send the same bytes to the same load generator, in turns, so that other
load on the machine affects all three.  The figure is messages per CPU second of the
server: broker and web tier for Mist, the single process for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from bench import lines, publisher
from bench.context import Bench
from bench.fanout import APP, DEPLOYMENT, Fanout
from bench.lines import Stream, frame
from bench.load import process
from bench.load.handshake import Address
from bench.load.process import Outcome
from bench.processes import Peer, shared_counter
from bench.results import Row, at_least, compared
from bench.yardsticks import floor, plain

TIMEOUT = 240.0
DRIP_RATE = 500.0
UNIT = "messages / CPU s"

# Send ``count`` lines after the ``first`` ones; return the server's CPU seconds.
Send = Callable[[int, int], float]


class Turn(NamedTuple):
    """A server ready to send, with its clients connected."""

    load: Peer
    send: Send
    lines: int


class Figure(NamedTuple):
    """Messages per CPU second of a server, and the outcome for its clients."""

    rate: float
    outcome: Outcome
    cpu: float


def burst(bench: Bench) -> list[Row]:
    """Send one stream at full speed to 100 and to 1,000 clients."""
    rows = []
    for clients in (100, 1_000):
        name = f"burst, {clients:,} clients"
        # Fewer lines for more clients: the total number of messages is the same.
        scale = 100 * bench.pick(60_000, 20_000) // clients
        # The plain server is slower by an order of magnitude.
        slow = 100 * bench.pick(2_000, 500) // clients
        with ExitStack() as stack:
            turns = {
                "mist": mist(stack, clients, scale, bench, name),
                "plain": _plain(stack, clients, slow, bench),
                "floor": _floor(stack, clients, scale, bench),
            }
            figures = rounds(turns, bench)
        rows += [*_rows(name, figures, 15, 0.6), _by_the_clock(name, figures)]
        notes(bench, name, figures)
    return rows


def drip(bench: Bench) -> list[Row]:
    """Send 500 lines a second, one at a time, to 100 clients."""
    name, clients, count = "drip, 100 clients", 100, bench.pick(2_000, 500)
    with ExitStack() as stack:
        turns = {
            "mist": mist(stack, clients, count, bench, name, DRIP_RATE),
            "plain": _plain(stack, clients, count, bench, DRIP_RATE),
            "floor": _floor(stack, clients, count, bench, DRIP_RATE),
        }
        figures = rounds(turns, bench)
    notes(bench, name, figures)
    return _rows(name, figures, 1.3, 0.6)


def _count(bench: Bench) -> int:
    return bench.pick(5, 2)


def rounds(turns: dict[str, Turn], bench: Bench) -> dict[str, list[Figure]]:
    """Let the servers send in turns, several times."""
    figures: dict[str, list[Figure]] = {name: [] for name in turns}
    for number in range(_count(bench)):
        for name, turn in turns.items():
            figures[name].append(_once(turn, number))
    return figures


def _once(turn: Turn, number: int) -> Figure:
    # The load generator must be listening before the server sends.
    turn.load.send("until", (number + 1) * turn.lines, TIMEOUT)
    used = turn.send(number * turn.lines, turn.lines)
    outcome: Outcome = turn.load.answer()
    return Figure(outcome.lines / used, outcome, used)  # messages: lines times clients


def _rows(
    name: str, figures: dict[str, list[Figure]], to_plain: float, to_floor: float
) -> list[Row]:
    rate = {server: median(figure.rate for figure in found) for server, found in figures.items()}
    return [
        compared(f"{name}: plain server", rate["mist"], UNIT, rate["plain"], at_least(to_plain)),
        compared(f"{name}: floor", rate["mist"], UNIT, rate["floor"], at_least(to_floor)),
    ]


def _by_the_clock(name: str, figures: dict[str, list[Figure]]) -> Row:
    """Compare messages per second, whatever they cost; only a burst is limited by the server."""
    ours, floors = (median(f.outcome.rate for f in figures[key]) for key in ("mist", "floor"))
    return compared(f"{name}: floor, by the clock", ours, "messages / s", floors, at_least(0.6))


def notes(bench: Bench, name: str, figures: dict[str, list[Figure]]) -> None:
    """Note the servers' speed by the clock."""
    for server, found in figures.items():
        wall = median(figure.outcome.rate for figure in found)
        busy = median(figure.cpu / figure.outcome.seconds for figure in found)
        share = median(figure.outcome.share for figure in found)
        bench.note(
            name,
            f"{server}: {wall:,.0f} messages a second by the clock, server {busy:.0%} of a core, "
            f"load generator {share:.0%}; every client received every line in order",
        )


def mist(  # noqa: PLR0913, PLR0917
    stack: ExitStack,
    clients: int,
    count: int,
    bench: Bench,
    name: str,
    rate: float | None = None,
    *,
    deployment: bool = False,
) -> Turn:
    """Prepare Mist itself, with the log of a container or of a deployment."""
    progress = shared_counter()
    fanout = stack.enter_context(Fanout())
    writer = stack.enter_context(publisher.start(fanout.settings, fanout.paths, progress))
    load = stack.enter_context(process.start(progress))
    status = lines.BUILDING if deployment else lines.STATUS
    writer.ask("deploy" if deployment else "begin", DEPLOYMENT if deployment else APP, status)
    load.ask("stream", Stream(frame(status), count * _count(bench)))
    load.ask("exact", fanout.deployment() if deployment else fanout.address("&tail=0"), clients)
    costs: list[tuple[float, float, float]] = []
    stack.callback(_sum_up, bench, name, costs)

    def send(first: int, number: int) -> float:
        before, broker = fanout.cpu, fanout.broker_cpu
        arguments = (first, number) if rate is None else (first, number, rate)
        used = writer.ask("drip" if rate else "burst", *arguments)
        load_done(load)  # the web tier's cost includes delivering the last line
        whole, broker = fanout.cpu - before, fanout.broker_cpu - broker
        costs.append((whole, broker, used))
        return whole

    return Turn(load, send, count)


def _sum_up(bench: Bench, name: str, costs: list[tuple[float, float, float]]) -> None:
    if not costs:
        return  # the first turn failed; its error is reported elsewhere
    whole, broker, used = (median(column) for column in zip(*costs, strict=True))
    bench.note(
        name,
        f"mist: {whole:.3f} CPU s per turn, of which the broker used {broker:.3f}; "
        f"the publisher, in place of the collector, used {used:.3f} more",
    )


def load_done(load: Peer) -> None:
    """Wait until the load generator has everything; leave its answer in the pipe."""
    load.pipe.poll(TIMEOUT)


def _plain(
    stack: ExitStack, clients: int, count: int, bench: Bench, rate: float | None = None
) -> Turn:
    server = stack.enter_context(Peer(plain.main))
    load = stack.enter_context(process.start(shared_counter()))
    load.ask("stream", Stream(b"", count * _count(bench)))
    load.ask("exact", Address("127.0.0.1", server.ask("address"), "/"), clients)
    # The last clients may still be in the backlog.
    server.ask("wait_for", clients)
    return Turn(load, _sender(server, rate), count)


def _floor(
    stack: ExitStack, clients: int, count: int, bench: Bench, rate: float | None = None
) -> Turn:
    server = stack.enter_context(Peer(floor.main))
    load = stack.enter_context(process.start(shared_counter()))
    stream = Stream(b"", count * _count(bench))
    load.ask("stream", stream)
    server.ask("stream", stream)
    address = Address("127.0.0.1", server.ask("address"), "/")
    server.send("accept", clients)  # accepts while the load generator connects
    load.ask("exact", address, clients)
    server.answer()
    return Turn(load, _sender(server, rate), count)


def _sender(server: Peer, rate: float | None) -> Send:
    def send(first: int, number: int) -> float:
        arguments = (first, number) if rate is None else (first, number, rate)
        used: float = server.ask("drip" if rate else "burst", *arguments)
        return used

    return send
