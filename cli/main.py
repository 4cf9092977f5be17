"""The ``mist`` command: a table of subcommands, each imported when it is called.

A subcommand is a module of :mod:`cli` with a ``command``.  Every expected error
(:class:`mist.errors.MistError`) becomes one line on standard error and an exit status,
never a traceback.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import click

import mist
from mist.errors import BrokenInstallation, Exit, MistError, UsageError
from mist.visible import visible

# The subcommands with their help lines, in the order of the help.
COMMANDS: Final = {
    "up": "Run everything in the foreground.",
    "supervisor": "Run everything but the web tier, for a system service.",
    "status": "Show the supervisor's table of processes.",
    "doctor": "Check what the service needs, and say what to do.",
    "user": "Manage accounts.",
    "app": "Manage applications.",
    "token": "Manage the tokens of programs.",
    "deploy": "Deploy an application and follow it to its end.",
    "cancel": "Cancel a deployment.",
    "logs": "Follow the logs of applications and containers.",
    "top": "Watch the host's metrics.",
    "tap": "Print the messages on the bus as newline-delimited JSON.",
}


class LazyGroup(click.Group):
    """A group that imports a command only to run it, so that ``mist --help`` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click
        """Import and return the command with this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; after Ctrl-C, exit as the commands that follow a stream do."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would say "Aborted!", with the status of a failure
            raise SystemExit(Exit.INTERRUPTED) from None
        except click.Abort as aborted:
            from cli import terminal  # noqa: PLC0415 - a command that asks has imported it

            if terminal.was_interrupted(aborted):
                raise SystemExit(Exit.INTERRUPTED) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click
        """Write the table without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mist.__version__, prog_name="mist")
def cli() -> None:
    """Live container logs, deployments and metrics of a Docker host."""


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command line and exit: 0, 2 for wrong usage, or the error's own status."""
    _drop_inherited_signals()  # first: nothing may be missed
    _open_closed_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _check_encoding(given)
        cli.main(given, prog_name="mist")
    except MistError as error:
        _fail(str(error), error.exit_status)
    except (ImportError, SyntaxError) as error:
        broken = BrokenInstallation("the program", str(error))
        _fail(str(broken), broken.exit_status)
    except OSError as error:  # such as a full disk, or output that cannot be written
        _fail(str(error), Exit.FAILURE)


def _check_encoding(arguments: Iterable[str]) -> None:
    """Raise UsageError if an argument is not UTF-8, which neither store nor engine accepts."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the argument {os.fsencode(argument)!r} is not UTF-8") from None


def _drop_inherited_signals() -> None:
    """Unblock all signals, and restore the default action of SIGCHLD.

    A SIGTERM that the parent blocked would never arrive.  While SIGCHLD is ignored, the
    kernel discards the exit statuses of children (wait(2)).
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _open_closed_streams() -> None:
    """Open /dev/null as each standard stream that the parent closed (``mist up <&-``).

    Python has None in its place, and the next file or socket would take its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - kept
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _fail(text: str, status: int) -> None:
    if "NOTIFY_SOCKET" in os.environ:  # under systemd: show the text in `systemctl status`, too
        from mist.notify import Notifier  # noqa: PLC0415 - only a failing service needs it

        Notifier().giving_up(text)
    with suppress(OSError):  # the exit status still tells
        click.echo(f"mist: {visible(text, lines=True)}", err=True)
    sys.exit(status)
