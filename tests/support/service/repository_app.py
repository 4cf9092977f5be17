"""Applications of a service that are deployed from a repository of their own."""

from __future__ import annotations

from pathlib import Path

from tests.support.service.deployments import SERVE, Repository, dockerfile
from tests.support.service.service import Service


def add_repository_app(
    service: Service, folder: Path, name: str, *steps: str, run: str = SERVE
) -> tuple[int, Repository]:
    """Return the id of a new application, named after its container, and its repository.

    The repository is in ``folder``.  ``steps`` and ``run`` are those of its Dockerfile.
    """
    repository = Repository(folder, {"Dockerfile": dockerfile(*steps, run=run)})
    return service.add_app(name, name, "--git", repository.url), repository
