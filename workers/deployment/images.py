"""The images of an application: one tag for each deployment, the newest of them kept."""

from __future__ import annotations

from typing import Final

from docker import APIClient
from docker.errors import APIError, ImageNotFound

from mist import logs
from mist.store import Store
from mist.store.records import Deployment
from workers.deployment.errors import DeploymentError

#: So many digits of the installation's id tell its images from another's on the same engine.
_INSTALLATION_DIGITS: Final = 12


class Images:
    """Names, reuses and removes the images of one application."""

    def __init__(self, store: Store, app_id: int) -> None:
        self._store = store
        self._app_id = app_id
        # No "mist/app": the engine would take "mist" for an account of Docker Hub.
        self._before = f"mist-app-{app_id}"
        self.repository = f"{self._before}-{store.installation[:_INSTALLATION_DIGITS]}"

    def tag(self, deployment_id: int) -> str:
        """Return the image's name: application, installation and deployment."""
        return f"{self.repository}:{deployment_id}"

    def reuse(self, client: APIClient, earlier: Deployment, deployment_id: int) -> str:
        """Give an earlier deployment's image the tag of this one as well, and return it."""
        try:
            if earlier.image is None:
                raise ImageNotFound("")
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
        for number in sorted(tags, reverse=True)[keep:]:
            forget(client, tags[number])

    def _tags_of_earlier_versions(self, client: APIClient) -> dict[int, str]:
        """Return the tags that did not name the installation, as far as this one made them."""
        found = self._tags(client, self._before)
        rows = {number: self._store.deployments.get(number) for number in found}
        return {n: tag for n, tag in found.items() if (row := rows[n]) and row.image == tag}

    def _tags(self, client: APIClient, repository: str) -> dict[int, str]:
        """Return the tags of a repository by the number of their deployments."""
        images = client.images(name=repository)
        tags = [tag.rpartition(":") for image in images for tag in image["RepoTags"] or ()]
        return {
            int(number): f"{name}:{number}"
            for name, _, number in tags
            # The engine takes the name for a pattern.
            if name == repository and number.isascii() and number.isdigit()
        }


def forget(client: APIClient, tag: str) -> None:
    """Remove a tag, and the image with its last one; one that is in use stays."""
    try:
        client.remove_image(tag)
    except ImageNotFound:
        return
    except APIError as error:
        logs.logger().warning("cannot remove an image", image=tag, reason=str(error.explanation))
