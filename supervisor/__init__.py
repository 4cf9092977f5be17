"""The control plane: starts, watches, restarts and stops the processes of the service."""
