"""The web tier: the Falcon application, its gunicorn worker, the fan-out to clients."""
