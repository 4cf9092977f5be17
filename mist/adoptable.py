"""A container that an application may adopt, as ``mist app adopt`` and ``/api`` show it."""

from __future__ import annotations

import msgspec


class Fact(msgspec.Struct, frozen=True):
    """A property of a container, and what the next deployment does with it."""

    what: str
    now: str
    then: str


class Adoptable(msgspec.Struct, frozen=True):
    """A container that the next deployment may replace once it is adopted."""

    container_id: str
    """The full id: another container may take the name before the deployment."""
    state: str
    facts: list[Fact]
    notes: list[str]
    """Warnings about side effects of replacing it."""
