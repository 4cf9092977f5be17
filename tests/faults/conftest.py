"""The fixtures of the integration tests: a private engine and services on it."""

from __future__ import annotations

from tests.integration.conftest import engine, make_service

__all__ = ["engine", "make_service"]
