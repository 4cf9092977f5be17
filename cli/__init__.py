"""The subcommands of ``mist``, one module for each; :mod:`cli.main` loads them."""
