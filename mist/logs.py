"""The service's own log: structlog on standard error.

For people where a terminal listens, otherwise one line of ``key=value`` pairs
(or JSON) for each event, which is what journald and log shippers want.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from mist.settings import LogSettings, Settings
from mist.visible import visible

Logger = FilteringBoundLogger

_KEYS: Final = ("timestamp", "level", "process", "event")


def configure(settings: Settings) -> None:
    """Set the log up for this process; called once, after the fork."""
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _make_visible,
            *_renderer(settings.log),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def name_process(name: str) -> None:
    """Have every later event of this process carry ``process=name``."""
    structlog.contextvars.bind_contextvars(process=name)


def logger() -> Logger:
    """A logger; it takes an event and its properties: ``log.info("started", pid=7)``."""
    return structlog.get_logger()  # type: ignore[no-any-return] # structlog leaves it open


def _make_visible(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Show control characters in what came from outside: an operator reads logs in a terminal."""
    return {
        visible(key): visible(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _renderer(log: LogSettings) -> list[Processor]:
    style = log.format
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "logfmt"
    if style == "console":
        # The traceback alone: structlog's own choice shows local variables, secrets among them.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    if style == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=_KEYS, drop_missing=True),
    ]
