"""The collectors of the host's containers: their list, and what each of them uses."""
