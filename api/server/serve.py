"""The web tier as a program: ``python -m api.server.serve -c CONFIGURATION``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import structlog

from mist import logs, process
from mist.errors import BrokenInstallation, MistError
from mist.notify import Notifier
from mist.paths import Paths, resolve_paths
from mist.settings import load_settings

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until asked to stop; after a MistError exit with its status."""
    # Hide the socket from gunicorn, which would report readiness before a worker serves.
    manager = os.environ.pop("NOTIFY_SOCKET", "")
    notifier = Notifier(os.environ | {"NOTIFY_SOCKET": manager})
    try:
        process.raise_file_limit()
        logs.configure(load_settings())
        logs.name_process("gunicorn")  # before the fork: the workers inherit it
        _share_figures(resolve_paths())
        # Imported here, so that an import error is reported like every other error.
        from api.server.application import WebApplication  # noqa: PLC0415
        from api.server.master import Master  # noqa: PLC0415

        Master(WebApplication("%(prog)s [OPTIONS]", prog="gunicorn"), notifier).run()
    except MistError as error:
        _fail(error, notifier, manager)
    except (ImportError, SyntaxError) as error:
        _fail(BrokenInstallation("the web tier", str(error)), notifier, manager)
    except Exception as error:
        log.exception("crashed")
        reason = f"{type(error).__name__}: {error}; see the log above"
        _fail(MistError(f"the web tier cannot start: {reason}"), notifier, manager)


def _share_figures(paths: Paths) -> None:
    """Prepare the folder in which the workers add up what ``/metrics`` shows."""
    # The variable that prometheus-client reads when it is imported, so here it cannot be.
    folder = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(paths.runtime / "figures")))
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # An upgraded gunicorn's old workers are still there.
        for file in folder.glob("*_*.db") if "GUNICORN_PID" not in os.environ else ():
            file.unlink()
    except OSError as error:
        log.warning("workers_have_figures_of_their_own", folder=str(folder), reason=str(error))
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _fail(error: MistError, notifier: Notifier, manager: str) -> NoReturn:
    """Exit with the reason, printed once: under ``mist up`` the supervisor prints it."""
    told = notifier.giving_up(str(error))
    if not (told and manager == str(resolve_paths().notify)):
        print(f"mist: {error}", file=sys.stderr)
    sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
