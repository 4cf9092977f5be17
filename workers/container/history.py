"""Reads what a container's log holds when its first listener comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mist.errors import EngineError
from mist.settings import Settings
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.stream import LogSource

#: So many lines are read before the first is passed on; see ``newest``.
_HELD: Final = 10_000
_DEEPER: Final = 8


def newest(source: LogSource, container: Container, settings: Settings) -> Iterator[list[Line]]:
    """The newest ``replay.lines`` lines of the log, or at least the tail that clients are shown.

    The engine counts entries, of which a line over 16 KiB takes several, so the
    first of them may be the end of a line whose beginning was not asked for.
    Hence one more is asked for and the first left out, and a tail of too few
    lines is asked for again, deeper.  To tell, a short history is held back
    until it is complete; a long one begins as it comes.

    The first item is empty, and comes when the engine has taken the question: it
    then has something to do, and whoever asked has the time for something else.
    (So it is at each deeper attempt.)
    """
    tail = settings.replay.lines
    wanted = min(settings.streams.tail_lines, tail)
    while True:
        held: list[Line] = []
        size, streaming = 0, False
        with source.history(container, None, tail + 1) as stream:
            yield []
            for lines in stream.all(whole=False):
                if streaming:
                    yield lines
                    continue
                held += lines
                size += sum(len(line.text) for line in lines)
                if len(held) > _HELD or size > settings.replay.bytes:
                    streaming = True
                    yield held
        if stream.failure:
            raise EngineError(stream.failure)
        whole = stream.entries <= tail
        if streaming or whole or len(held) > wanted:
            break
        tail *= _DEEPER
    if not streaming:
        yield held if whole else held[1:]
