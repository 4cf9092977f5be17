"""The idle service: its memory, and the CPU time that it uses while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from bench import containers, processes
from bench.context import Bench
from bench.load import process
from bench.processes import Peer, shared_counter
from bench.results import Row, below, plain
from bench.service import WholeService, run_service

_CONTAINER = "bench-rest"
# Connected before the measurement, so that one-off allocations are not counted per client.
_FIRST_CLIENTS = 200
_SETTLE_SECONDS = 2.0  # starts and log-ins are over by then


def memory(bench: Bench) -> list[Row]:
    """Measure an idle client, a collector, and the whole service without clients."""
    # As many as the limit of open files allows.
    clients = min(bench.pick(8_000, 1_000), processes.allow_files(8_000))
    with ExitStack() as stack:
        service, load, app = _begin(stack, bench)
        rest = processes.pss_bytes(service.pids)
        load.ask("idle", service.logs(app, "&tail=0"), _FIRST_CLIENTS)
        load.ask("listen", _SETTLE_SECONDS)
        before = processes.pss_bytes(service.gunicorn())
        collector = processes.private_bytes(service.collectors()[0])
        load.ask("idle", service.logs(app, "&tail=0"), clients - _FIRST_CLIENTS)
        load.ask("listen", _SETTLE_SECONDS)
        each = (processes.pss_bytes(service.gunicorn()) - before) / (clients - _FIRST_CLIENTS)
        bench.engine.remove(_CONTAINER)
    return [
        plain(f"memory: an idle client of {clients:,}", each / 1024, "KiB", below(24)),
        plain("memory: a collector, private", collector / 2**20, "MiB", below(8)),
        plain("memory: whole service at rest, PSS", rest / 2**20, "MiB", below(250)),
    ]


def cpu(bench: Bench) -> list[Row]:
    """Measure the whole service without clients, and with 1,000 idle ones."""
    alone, idle = bench.pick(30, 3), bench.pick(60, 3)
    with ExitStack() as stack:
        service, load, app = _begin(stack, bench)
        without = _share(service, lambda: time.sleep(alone))
        load.ask("idle", service.logs(app, "&tail=0"), 1_000)
        load.ask("listen", _SETTLE_SECONDS)
        with_clients = _share(service, lambda: load.ask("listen", idle))
        bench.engine.remove(_CONTAINER)
    return [
        plain("at rest: no clients", without, "% of a core", below(0.5)),
        plain("at rest: 1,000 idle clients", with_clients, "% of a core", below(2)),
    ]


def _begin(stack: ExitStack, bench: Bench) -> tuple[WholeService, Peer, int]:
    """Start a service, let it settle, and add a load generator and a silent application."""
    processes.allow_files(8_000)
    service = stack.enter_context(run_service(bench))
    load = stack.enter_context(process.start(shared_counter()))
    containers.start(bench.engine, _CONTAINER)
    app = service.add(_CONTAINER)
    time.sleep(_SETTLE_SECONDS)
    return service, load, app


def _share(service: WholeService, wait: Callable[[], object]) -> float:
    """Return the CPU time of all processes while ``wait`` runs, in percent of one core."""
    used, begin = service.cpu, time.monotonic()
    wait()
    return 100 * (service.cpu - used) / (time.monotonic() - begin)
