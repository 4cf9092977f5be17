"""The subcommands of ``mist``, one module for each; :mod:`mist.command` loads them."""
