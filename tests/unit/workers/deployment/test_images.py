"""Which images an application keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from mist.apps import management
from mist.apps.management import NewApp
from mist.store import Store
from tests.support.store import opened
from workers.deployment.errors import DeploymentError
from workers.deployment.images import Images, forget


class Tags:
    """The tags of an engine, as far as images are concerned."""

    def __init__(self, *tags: str) -> None:
        self.tags = list(tags)
        self.in_use: set[str] = set()

    def images(self, name: str) -> list[dict[str, Any]]:
        """Return one image for each tag that begins with ``name``, and one without a tag."""
        found = [{"RepoTags": [tag]} for tag in self.tags if tag.startswith(name)]
        return [*found, {"RepoTags": None}]

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image one more tag."""
        if image not in self.tags:
            raise ImageNotFound("no such image")
        self.tags.append(f"{repository}:{tag}")

    def remove_image(self, tag: str) -> None:
        """Remove a tag."""
        if tag in self.in_use:
            raise APIError("conflict", explanation="in use")
        if tag not in self.tags:
            raise ImageNotFound("no such image")
        self.tags.remove(tag)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """Return a store with one application."""
    with opened(tmp_path) as store:
        management.add(store, NewApp(name="web", git_url="https://example.com/web.git"))
        yield store


def test_the_newest_images_stay(store: Store) -> None:
    """Numbers are compared as numbers, and only whole names and numbers count."""
    images = Images(store, 1)
    other = [f"{images.repository}x:1", f"{images.repository}:latest", f"{images.repository}:²"]
    engine = Tags(*(images.tag(number) for number in (2, 9, 10, 11)), *other)
    images.prune(engine, 2)  # type: ignore[arg-type]
    assert engine.tags == [images.tag(10), images.tag(11), *other]


def test_an_image_in_use_stays(store: Store) -> None:
    """So does the deployment that wanted to remove it."""
    images = Images(store, 1)
    engine = Tags(images.tag(1), images.tag(2))
    engine.in_use = {images.tag(1)}
    images.prune(engine, 1)  # type: ignore[arg-type]
    assert images.tag(1) in engine.tags
    forget(engine, "mist-app-9:9")  # type: ignore[arg-type]


def test_an_earlier_image_is_used_again(store: Store) -> None:
    """It gets the tag of the new deployment as well."""
    images = Images(store, 1)
    engine = Tags(images.tag(1))
    row = store.deployments.create(1, "ada@example.com")
    store.deployments.update(row.id, image=images.tag(1))
    earlier = store.deployments.get(row.id)
    assert earlier is not None
    assert images.reuse(engine, earlier, 7) == images.tag(7)  # type: ignore[arg-type]
    assert engine.tags == [images.tag(1), images.tag(7)]


@pytest.mark.parametrize("image", [None, "mist-app-1:404"])
def test_an_image_that_is_gone_cannot_be_used_again(store: Store, image: str | None) -> None:
    """The error says what to do instead."""
    row = store.deployments.create(1, "ada@example.com")
    store.deployments.update(row.id, image=image)
    earlier = store.deployments.get(row.id)
    assert earlier is not None
    with pytest.raises(DeploymentError, match=f"deployment {row.id} .*commit"):
        Images(store, 1).reuse(Tags(), earlier, 7)  # type: ignore[arg-type]
