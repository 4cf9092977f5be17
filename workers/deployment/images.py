"""The images of an application: one tag per deployment, of which the newest are kept."""

from __future__ import annotations

from typing import Final

import structlog
from docker import APIClient
from docker.errors import APIError, ImageNotFound

from mist.store import Store
from mist.store.records import Deployment
from workers.deployment.errors import DeploymentError

log = structlog.get_logger(__name__)

# The digits of the installation's id in a name, which tell its images from another's.
_INSTALLATION_DIGITS: Final = 12


class Images:
    """The images of one application."""

    def __init__(self, store: Store, app_id: int) -> None:
        self._store = store
        self._app_id = app_id
        # Not "mist/app", because the engine would take "mist" for a Docker Hub account.
        self._before = f"mist-app-{app_id}"
        self.repository = f"{self._before}-{store.installation[:_INSTALLATION_DIGITS]}"

    def tag(self, deployment_id: int) -> str:
        """Return the image's name: application, installation and deployment."""
        return f"{self.repository}:{deployment_id}"

    def reuse(self, client: APIClient, earlier: Deployment, deployment_id: int) -> str:
        """Tag an earlier deployment's image for this deployment, and return the tag."""
        try:
            if earlier.image is None:
                raise ImageNotFound("")  # its build failed, so there never was one
            client.tag(earlier.image, self.repository, str(deployment_id))
        except ImageNotFound:
            raise DeploymentError(
                f"The image of deployment {earlier.id} is not there any more; "
                "deploy its commit instead"
            ) from None
        return self.tag(deployment_id)

    def prune(self, client: APIClient, keep: int) -> None:
        """Remove all but the newest ``keep`` images of the application."""
        tags = self._tags(client, self.repository) | self._tags_of_earlier_versions(client)
        # Ids ascend, so the highest numbers are the newest.
        for number in sorted(tags, reverse=True)[keep:]:
            forget(client, tags[number])

    def _tags_of_earlier_versions(self, client: APIClient) -> dict[int, str]:
        """Return this installation's tags of versions that did not name the installation."""
        # Another installation's images have the same names; the store knows its own.
        found = self._tags(client, self._before)
        rows = {number: self._store.deployments.get(number) for number in found}
        return {n: tag for n, tag in found.items() if (row := rows[n]) and row.image == tag}

    def _tags(self, client: APIClient, repository: str) -> dict[int, str]:
        """Return the tags of a repository, keyed by deployment id."""
        images = client.images(name=repository)
        tags = [tag.rpartition(":") for image in images for tag in image["RepoTags"] or ()]
        return {
            int(number): f"{name}:{number}"
            for name, _, number in tags
            # The engine treats the name as a pattern, so it may return other repositories.
            if name == repository and number.isascii() and number.isdigit()
        }


def forget(client: APIClient, tag: str) -> None:
    """Remove a tag, and the image with its last tag; an image in use stays."""
    try:
        client.remove_image(tag)
    except ImageNotFound:
        return
    except APIError as error:
        log.warning("image_not_removed", image=tag, reason=str(error.explanation))
