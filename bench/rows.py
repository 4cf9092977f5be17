"""What a measurement yields: rows of value, yardstick, ratio and target."""

from __future__ import annotations

from typing import Literal

import msgspec

Direction = Literal[">=", "<="]


class Target(msgspec.Struct, frozen=True):
    """What is to be reached: a bound on the ratio, or on the value where there is no yardstick."""

    of: Literal["ratio", "value"]
    direction: Direction
    bound: float

    def met(self, figure: float) -> bool:
        """Whether ``figure`` is on the right side of the bound."""
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
    """All rows of a run, and what has to be said about them (by measurement)."""

    rows: list[Row] = []
    notes: dict[str, list[str]] = {}


def at_least(bound: float) -> Target:
    """The value is to be ``bound`` times the yardstick or more."""
    return Target("ratio", ">=", bound)


def at_most(bound: float) -> Target:
    """The value is to be ``bound`` times the yardstick or less."""
    return Target("ratio", "<=", bound)


def below(bound: float) -> Target:
    """The value itself is to be ``bound`` or less; there is no yardstick."""
    return Target("value", "<=", bound)


def compared(name: str, value: float, unit: str, yardstick: float, target: Target) -> Row:
    """A row with a yardstick from the same run."""
    ratio = value / yardstick
    return Row(name, value, unit, yardstick, ratio, str(target), target.met(ratio))


def plain(name: str, value: float, unit: str, target: Target) -> Row:
    """A row that has a bound and no yardstick."""
    return Row(name, value, unit, None, None, str(target), target.met(value))
