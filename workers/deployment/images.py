"""The images of an application: one tag for each deployment, the newest of them kept."""

from __future__ import annotations

from docker import APIClient
from docker.errors import APIError, ImageNotFound

from mist import logs
from workers.deployment.errors import DeploymentError


def tag_of(app_id: int, deployment_id: int) -> str:
    """The image's name: application and deployment, so that no two ever meet."""
    return f"{repository(app_id)}:{deployment_id}"


def repository(app_id: int) -> str:
    """The repository that holds an application's images."""
    return f"mist-app-{app_id}"


def reuse(client: APIClient, app_id: int, earlier: int, deployment_id: int) -> str:
    """Give an earlier deployment's image the tag of this one as well, and return it."""
    try:
        client.tag(tag_of(app_id, earlier), repository(app_id), str(deployment_id))
    except ImageNotFound:
        raise DeploymentError(
            f"The image of deployment {earlier} is not there any more; deploy its commit instead"
        ) from None
    return tag_of(app_id, deployment_id)


def forget(client: APIClient, tag: str) -> None:
    """Remove a tag, and the image with its last one; one that is in use stays."""
    try:
        client.remove_image(tag)
    except ImageNotFound:
        return
    except APIError as error:
        logs.logger().warning("cannot remove an image", image=tag, reason=str(error.explanation))


def prune(client: APIClient, app_id: int, keep: int) -> None:
    """Remove all but the newest ``keep`` images of an application."""
    name = repository(app_id)
    tags = [tag for image in client.images(name=name) for tag in image["RepoTags"] or ()]
    numbers = [tag.removeprefix(f"{name}:") for tag in tags if tag.startswith(f"{name}:")]
    ours = sorted((int(number) for number in numbers if number.isdigit()), reverse=True)
    for number in ours[keep:]:
        forget(client, tag_of(app_id, number))
