"""The service's own log: structlog on standard error.

Events are formatted for people if standard error is a terminal, otherwise as one line
of ``key=value`` pairs (or JSON), which suits journald and log shippers.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

from mist.settings import LogSettings, Settings
from mist.visible import visible

_KEYS: Final = ("timestamp", "level", "process", "event")
# The key of structlog's ``format_exc_info``.
_TRACEBACK: Final = "exception"


def configure(settings: Settings) -> None:
    """Configure logging in this process; call once, after the fork."""
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,  # adds ``process``
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _make_visible,
            _renderer(settings.log),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def name_process(name: str) -> None:
    """Add ``process=name`` to all later events of this process."""
    structlog.contextvars.bind_contextvars(process=name)


def _make_visible(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Show control characters in what came from outside: an operator reads logs in a terminal."""
    return {
        visible(key): visible(str(value), lines=key == _TRACEBACK)
        if isinstance(value, str | BaseException)
        else value
        for key, value in event.items()
    }


def _renderer(log: LogSettings) -> Processor:
    style = log.format
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "logfmt"
    if style == "console":
        # The traceback is text already, of which any other formatter warns.  The default one
        # would print local variables, which may contain secrets.
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(exception_formatter=plain)
    if style == "json":
        return structlog.processors.JSONRenderer()
    return structlog.processors.LogfmtRenderer(key_order=_KEYS, drop_missing=True)
