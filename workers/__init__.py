"""Worker processes, one package for each kind."""
