"""The subcommands of ``mist``, one module each; :mod:`cli.main` loads them."""
