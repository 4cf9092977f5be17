"""Starts, watches, restarts and stops processes; the broker of the bus."""
