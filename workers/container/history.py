"""Read the existing log of a container for its first client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mist.errors import EngineError
from mist.settings import Settings
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.stream import LogSource

# A history of up to this many lines is held back until it is complete; see ``newest``.
_HELD: Final = 10_000
_DEEPER: Final = 8  # the factor by which a tail that yielded too few lines grows


def newest(
    source: LogSource, container: Container, settings: Settings, tail: int
) -> Iterator[list[Line]]:
    """Yield the newest ``tail`` lines, or at least those that clients are shown.

    The engine counts entries, and a line over 16 KiB takes several.  The first entry may
    therefore be the end of a line whose beginning was not requested.  So one more entry
    is requested and the first line left out, and a tail with too few lines is requested
    again, deeper.  A short history is held back until it is complete, because only then
    is it known to suffice; a long one is passed on as it arrives.

    The first item, and the first of each deeper attempt, is empty.  It comes when the
    engine has accepted the request, so that the caller can do other work while the
    engine reads the log.
    """
    wanted = min(settings.streams.tail_lines, tail)
    while True:
        held: list[Line] = []
        size, streaming = 0, False
        with source.history(container, None, tail + 1) as stream:
            yield []
            for lines in stream.all():
                if streaming:
                    yield lines
                    continue
                held += lines
                size += sum(len(line.text) for line in lines)
                # Enough lines, or too many bytes to hold; no deeper attempt follows.
                if len(held) > _HELD or size > settings.replay.bytes:
                    streaming = True
                    yield held
        if stream.failure:
            raise EngineError(stream.failure)
        # Fewer entries than requested: the log has no more, and its first line is whole.
        whole = stream.entries <= tail
        if streaming or whole or len(held) > wanted:
            break
        tail *= _DEEPER
    if not streaming:
        yield held if whole else held[1:]
