"""The web tier as a gunicorn application, which loads gunicorn's configuration."""

from __future__ import annotations

import runpy
import traceback
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from api.server.worker import MistWorker
from mist.addresses import split_address
from mist.errors import MistError, SettingsError, UsageError


class WebApplication(WSGIApplication):  # type: ignore[misc] # gunicorn has no types
    """A gunicorn application that ignores the current directory and reports errors clearly."""

    cfg: Any

    def chdir(self) -> None:
        """Do not change the directory or ``sys.path``.

        gunicorn puts the current directory first, so an ``api`` package in it would be
        loaded instead of ours.
        """

    def do_load_config(self) -> None:
        """Load the configuration; on an error raise MistError and keep the previous one.

        gunicorn itself would print a traceback and exit, even on a reload.
        """
        before = self.cfg
        try:
            self.load_default_config()  # a reload must not inherit values of the old file
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
        """Run the configuration file and apply the settings that it defines."""
        try:
            # gunicorn's own loader exits the process on an error.
            values = runpy.run_path(filename.removeprefix("file:"))
        except (MistError, ImportError):
            raise
        except OSError as error:
            raise SettingsError(filename, error.strerror or str(error)) from None
        except Exception as error:
            raise SettingsError(filename, _located(error, filename)) from None
        # The file's imports and helper variables are not settings.
        for name in values.keys() & self.cfg.settings.keys():
            try:
                self.cfg.set(name, values[name])
            except Exception as error:
                raise SettingsError(f"{filename}: {name}", str(error)) from None

    def _check(self) -> None:
        if not issubclass(self.cfg.worker_class, MistWorker):
            name = self.cfg.worker_class_str
            # The master relies on the status that this worker class reports.
            raise SettingsError("worker_class", f"{name} is not api.worker.MistWorker")
        try:
            for bind in self.cfg.bind:
                if not bind.startswith(("unix:", "fd://")):  # these have no port to check
                    split_address(bind)
        except UsageError as error:
            raise SettingsError("server.bind", str(error)) from None


def _located(error: Exception, filename: str) -> str:
    """Return the error's text with its line number in the configuration file."""
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == filename]
    if isinstance(error, SyntaxError):  # has no frame in the file
        lines.append(error.lineno)
    return f"line {lines[-1]}: {text}" if lines else text
