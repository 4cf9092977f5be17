"""Fixtures: connections to a client, and the application without a server."""

from __future__ import annotations

import _socket
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from api.monitoring import Monitoring
from api.server.keepalive import ConnectionRegistry
from api.services import Services
from api.websocket.connection import Connection
from mist.paths import Paths
from mist.settings import StreamSettings
from mist.store import Store, User
from tests.support import store as store_rig
from tests.support.connections import MakePair, Pair, Peer
from tests.support.http_api import SECRET, SETTINGS, Api


@pytest.fixture
def connect() -> Iterator[MakePair]:
    """Return a function that makes pairs; its arguments are settings of ``[streams]``."""
    made: list[Pair] = []

    def make(early: bytes = b"", **limits: Any) -> Pair:
        registry = ConnectionRegistry(StreamSettings(**limits))
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        sock = _socket.socket(fileno=ours.detach())
        peer = Peer(gevent.socket.socket(socket.AF_UNIX, fileno=theirs.detach()))
        pair = Pair(Connection(sock, registry, early), registry, peer)
        made.append(pair)
        return pair

    yield make
    for pair in made:
        pair.connection.abort()
        with contextlib.suppress(OSError):
            pair.peer.sock.close()
    gevent.sleep(0)


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Api:
    """The application; its bus is reachable unless ``bus_problem`` says otherwise."""
    api: Api
    paths = Paths(tmp_path, tmp_path)
    monitoring = Monitoring(paths, store)
    api = Api(Services(SETTINGS, paths, store, SECRET, monitoring, lambda: api.bus_problem))
    return api


@pytest.fixture
def ada(store: Store) -> User:
    """An admin."""
    return store_rig.add_user(store, "ada@example.com", "admin")


@pytest.fixture
def bob(store: Store) -> User:
    """A user without any grant."""
    return store_rig.add_user(store, "bob@example.com")
