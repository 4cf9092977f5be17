"""Readers that run in the process of the tests."""

from __future__ import annotations

import socket

import pytest

from workers.reader import main as reader


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Return the connections with which a reader ends; here its process stays."""
    connections: list[socket.socket] = []
    monkeypatch.setattr(reader, "end_with", connections.append)
    return connections
