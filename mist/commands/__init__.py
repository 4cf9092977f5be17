"""The subcommands of `mist`, one module each."""
