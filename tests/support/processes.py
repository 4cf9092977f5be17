"""What other processes do."""

from __future__ import annotations

import psutil


def has_ended(process: psutil.Process) -> bool:
    """Return True for a process that is gone or a zombie; it may end at any moment."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True
