"""Tests of what the master may import before it forks."""

from __future__ import annotations

import sys

from tests.support.service.programs import run

_PROGRAM = """
import sys, threading
import api.worker, api.server.application, api.server.master
from gevent._hub_local import get_hub_if_exists
print(get_hub_if_exists(), threading.active_count(), "zmq" in sys.modules, "falcon" in sys.modules)
"""


def test_importing_the_worker_starts_nothing() -> None:
    """Importing the worker starts no event loop, thread, ZeroMQ context or application."""
    output = run(sys.executable, "-c", _PROGRAM)
    assert output.split() == ["None", "1", "False", "False"]
