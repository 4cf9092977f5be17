"""The labels of every container that a deployment creates."""

from __future__ import annotations

from typing import Final

INSTALLATION: Final = "mist.installation"
APP: Final = "mist.app"
DEPLOYMENT: Final = "mist.deployment"
# The time at which the deployment was requested, to the nanosecond.
QUEUED: Final = "mist.queued"
