"""``@mist/client`` in Node, and containers for it to follow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.typescript.follower import Follow, Follower, require_client
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import Service


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Run ``follow(kind, **options)``. Programs still running after the test are ended."""
    require_client()
    followers: list[Follower] = []

    def start(kind: str, **options: object) -> Follower:
        followers.append(Follower(kind, **options))
        return followers[-1]

    yield start
    for follower in followers:
        follower.destroy()


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    """A proxy in front of the shared service."""
    proxy = CuttingProxy(service.port)
    yield proxy
    proxy.close()
