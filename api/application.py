"""The web tier as an application of gunicorn, which loads its configuration."""

from __future__ import annotations

import runpy
import traceback
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from api.websocket.worker import MistWorker
from mist.addresses import split_address
from mist.errors import MistError, SettingsError, UsageError


class Web(WSGIApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn that takes no module from where it was started, and says what is wrong."""

    cfg: Any

    def chdir(self) -> None:
        """Stay, and leave ``sys.path`` as it is.

        gunicorn puts the current directory first, and in a directory with an
        ``api`` of its own would run that one.
        """

    def do_load_config(self) -> None:
        """Load the configuration; MistError, and the one before stays, if it is wrong.

        gunicorn would print a traceback and exit, also on a reload.
        """
        before = self.cfg
        try:
            self.load_default_config()
            self.load_config()
            self.cfg.validate()
            self._check()
        except (MistError, ImportError):
            self.cfg = before
            raise
        except Exception as error:
            self.cfg = before
            text = str(error).partition("\n")[0] or type(error).__name__
            raise SettingsError("gunicorn's configuration", text) from None

    def load_config_from_file(self, filename: str) -> None:
        """Run the configuration file, and take over what it sets."""
        try:
            values = runpy.run_path(filename.removeprefix("file:"))
        except (MistError, ImportError):
            raise
        except OSError as error:
            raise SettingsError(filename, error.strerror or str(error)) from None
        except Exception as error:
            raise SettingsError(filename, _located(error, filename)) from None
        for name in values.keys() & self.cfg.settings.keys():
            try:
                self.cfg.set(name, values[name])
            except Exception as error:
                raise SettingsError(f"{filename}: {name}", str(error)) from None

    def _check(self) -> None:
        if not issubclass(self.cfg.worker_class, MistWorker):
            name = self.cfg.worker_class_str
            raise SettingsError("worker_class", f"{name} is not api.worker.MistWorker")
        try:
            for bind in self.cfg.bind:
                if not bind.startswith(("unix:", "fd://")):
                    split_address(bind)
        except UsageError as error:
            raise SettingsError("server.bind", str(error)) from None


def _located(error: Exception, filename: str) -> str:
    """Return the error's text with the line of the file that it comes from."""
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == filename]
    if isinstance(error, SyntaxError):
        lines.append(error.lineno)
    return f"line {lines[-1]}: {text}" if lines else text
