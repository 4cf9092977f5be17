"""The result of a measurement: rows of value, yardstick, ratio and target."""

from __future__ import annotations

from typing import Literal

import msgspec

Direction = Literal[">=", "<="]


class Target(msgspec.Struct, frozen=True):
    """A bound on the ratio, or on the value if there is no yardstick."""

    of: Literal["ratio", "value"]
    direction: Direction
    bound: float

    def met(self, figure: float) -> bool:
        """Return True if ``figure`` meets the bound."""
        return figure >= self.bound if self.direction == ">=" else figure <= self.bound

    def __str__(self) -> str:
        return f"{self.of} {self.direction} {self.bound:g}"


class Row(msgspec.Struct, frozen=True):
    """One line of the result; ``ratio`` is value divided by yardstick, both in ``unit``."""

    name: str
    value: float
    unit: str
    yardstick: float | None
    ratio: float | None
    target: str
    met: bool


class Result(msgspec.Struct):
    """All rows of a run, and the notes on them by measurement."""

    rows: list[Row] = []
    notes: dict[str, list[str]] = {}


def at_least(bound: float) -> Target:
    """Require a value of at least ``bound`` times the yardstick."""
    return Target("ratio", ">=", bound)


def at_most(bound: float) -> Target:
    """Require a value of at most ``bound`` times the yardstick."""
    return Target("ratio", "<=", bound)


def below(bound: float) -> Target:
    """Require a value of at most ``bound``, without a yardstick."""
    return Target("value", "<=", bound)


def compared(name: str, value: float, unit: str, yardstick: float, target: Target) -> Row:
    """Return a row with a yardstick from the same run."""
    ratio = value / yardstick
    return Row(name, value, unit, yardstick, ratio, str(target), target.met(ratio))


def plain(name: str, value: float, unit: str, target: Target) -> Row:
    """Return a row with a bound but no yardstick."""
    return Row(name, value, unit, None, None, str(target), target.met(value))
