"""The runner of one deployment: from a Git repository to a running container."""
