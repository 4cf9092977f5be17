"""The table of containers in ``mist top``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bus.follower import Item
from bus.wire import Kind, Message
from mist import messages
from mist.messages import Figures, HostContainer
from mist.sizes import human
from mist.visible import visible

_STYLES: Final = {"healthy": "green", "unhealthy": "red", "starting": "yellow"}


class Source(Protocol):
    """The part of :class:`bus.follower.Follower` that is needed here."""

    def take(self, timeout: float) -> list[Item]:
        """Return what arrives within so many seconds."""


class Containers:
    """The newest list of containers, and what each of them uses."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._listed: list[HostContainer] = []
        self._figures: dict[str, Figures] = {}
        self._note = "waiting for the list of containers"

    def take(self) -> None:
        """Take what has arrived, without waiting."""
        while found := self._source.take(0.0):
            for item in found:
                if isinstance(item, Message):
                    self._read(item)

    def table(self) -> RenderableType:
        """Return the table, or why there is none."""
        return table(self._listed, self._figures) if not self._note else Text(self._note, "dim")

    def _read(self, message: Message) -> None:
        kind, body = message.header.kind, message.body
        try:
            if kind is Kind.STATUS:
                self._listed, self._note = messages.read_containers(body), ""
            elif kind is Kind.METRICS:
                self._figures = messages.read_all_figures(body)
            elif kind is Kind.ERROR:
                self._note = visible(messages.read_text(body))
        except msgspec.MsgspecError:
            return  # a later version's; the next one may be readable


def table(listed: Sequence[HostContainer], figures: dict[str, Figures]) -> Table:
    """Return a row for each container: those that run first, and each project together."""
    rows = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    rows.add_column("container", ratio=2, no_wrap=True, overflow="ellipsis")
    rows.add_column("status", ratio=2, no_wrap=True, overflow="ellipsis")
    for name in ("cpu", "memory", "in", "out", "read", "written", "pids"):
        rows.add_column(name, justify="right", no_wrap=True)
    for each in sorted(
        listed, key=lambda each: (each.id not in figures, each.project or "", each.name)
    ):
        rows.add_row(
            Text(visible(each.name)),
            Text(visible(each.status), _STYLES.get(each.health or "", "")),
            *_columns(figures.get(each.id)),
        )
    return rows


def _columns(used: Figures | None) -> list[str]:
    if used is None:
        return []
    amounts = (used.memory_used, used.network_rx, used.network_tx)
    blocks = (used.block_read, used.block_write)
    return [f"{used.cpu_percent:.1f}%", *map(human, (*amounts, *blocks)), str(used.pids)]
