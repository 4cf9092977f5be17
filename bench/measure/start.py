"""The time from the WebSocket connect to the 100th tail line, with and without a collector."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from bench import containers
from bench.context import Bench
from bench.load.frames import TEXT, Frames
from bench.load.handshake import Address, connect
from bench.processes import BenchError
from bench.results import Row, at_most, compared
from bench.service import SHORT_LINGER, WholeService, run_service
from bench.yardsticks.engine import DockerLogs

_TAIL = 100
_LINES = 1_000
_NAME = "start"
_CONTAINER = "bench-start"
_TIMEOUT = 30.0


def measure(bench: Bench) -> list[Row]:
    """Take turns: cold, warm, and a complete ``docker logs --tail 100`` process."""
    rounds = bench.pick(15, 4)
    cold, warm, yardstick = [], [], []
    with ExitStack() as stack:
        service = stack.enter_context(run_service(bench, SHORT_LINGER))
        writer = stack.enter_context(containers.writer())
        writer.ask("attach", [containers.start(bench.engine, _CONTAINER)])
        writer.ask("flood", 0, _LINES)
        containers.await_line(bench.engine, _CONTAINER, _LINES)
        address = service.logs(service.add(_CONTAINER))
        for _ in range(rounds):
            first, second = _cold_and_warm(service, address)
            cold.append(first)
            warm.append(second)
            yardstick.append(_docker_logs(bench.engine.host))
        bench.engine.remove(_CONTAINER)
    theirs = median(yardstick) * 1e3
    return [
        compared(f"{_NAME}: cold", median(cold) * 1e3, "ms", theirs, at_most(1.5)),
        compared(f"{_NAME}: warm", median(warm) * 1e3, "ms", theirs, at_most(0.3)),
    ]


def _cold_and_warm(service: WholeService, address: Address) -> tuple[float, float]:
    """Return the seconds for a first client, and for a second while the first is connected."""
    service.without_collector()  # a cold start
    with ExitStack() as stack:
        return _until_tail(stack, address), _until_tail(stack, address)


def _until_tail(stack: ExitStack, address: Address) -> float:
    begin = time.monotonic()
    (sock, data), *_ = connect(address, 1)
    stack.callback(sock.close)
    sock.settimeout(_TIMEOUT)
    frames, count = Frames(), 0
    while True:
        for first, payload in frames.feed(data):
            count += first == TEXT and payload.startswith(b'{"type":"log"')
        if count == _TAIL:
            return time.monotonic() - begin
        data = sock.recv(65_536)
        if not data:
            raise BenchError(f"the stream ended after {count} tail lines")


def _docker_logs(host: str) -> float:
    begin = time.monotonic()
    with DockerLogs(host, _CONTAINER, "--tail", str(_TAIL)) as logs:
        logs.read(_TAIL)
        logs.finish()  # the yardstick is the complete process
        return time.monotonic() - begin
