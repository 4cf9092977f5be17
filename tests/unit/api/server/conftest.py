"""Fixture: the worker's HTTP server within the test's process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http_server import MakeServing, Serving


@pytest.fixture
def serve() -> Iterator[MakeServing]:
    """Return a function that starts servers; see Serving for its arguments."""
    started: list[Serving] = []

    def start(*arguments: Any, **settings: Any) -> Serving:
        started.append(Serving(*arguments, **settings))
        return started[-1]

    yield start
    for serving in started:
        serving.close()
