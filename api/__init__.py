"""The web tier: the Falcon application, its gunicorn worker, and the fan-out to clients."""
