"""The web tier as a program: ``python -m api.serve -c CONFIGURATION``."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import mist.settings
from mist import logs, paths
from mist.errors import BrokenInstallation, MistError
from mist.notify import Notifier


def main() -> None:
    """Serve until asked to end; the exit status is that of the MistError otherwise."""
    # gunicorn would tell the manager that it is ready before any worker serves.
    manager = os.environ.pop("NOTIFY_SOCKET", "")
    notifier = Notifier({"NOTIFY_SOCKET": manager})
    try:
        logs.configure(mist.settings.load())
        logs.name_process("gunicorn")
        # Here, so that what cannot be imported is said as everything else is.
        from api.application import Web  # noqa: PLC0415
        from api.master import Master  # noqa: PLC0415

        Master(Web("%(prog)s [OPTIONS]", prog="gunicorn"), notifier).run()
    except MistError as error:
        _fail(error, notifier, manager)
    except (ImportError, SyntaxError) as error:
        _fail(BrokenInstallation("the web tier", str(error)), notifier, manager)
    except Exception as error:
        logs.logger().exception("crashed")
        reason = f"{type(error).__name__}: {error}; the log above says more"
        _fail(MistError(f"the web tier cannot start: {reason}"), notifier, manager)


def _fail(error: MistError, notifier: Notifier, manager: str) -> NoReturn:
    """Say why the web tier ends, once: in ``mist up`` the supervisor has the last word."""
    told = notifier.giving_up(str(error))
    if not (told and manager == str(paths.resolve().notify)):
        print(f"mist: {error}", file=sys.stderr)
    sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
