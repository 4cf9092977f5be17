"""gunicorn's side of the web tier: master, workers, HTTP."""
