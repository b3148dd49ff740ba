"""Manifests of images in ECR."""

import json
from typing import Any

# BatchGetImage documents three of them, and returns an index only when asked for one.
_ACCEPTED = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def manifest_of(ecr: Any, repository: str, digest: str) -> dict[str, Any]:
    """An image's manifest, or its index. Raises what ECR's API raises, `ValueError` when ECR has none."""
    answered = ecr.batch_get_image(
        repositoryName=repository, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=_ACCEPTED
    )
    if not answered["images"]:
        raise ValueError(f"ECR has no manifest of {digest}: {answered.get('failures')}")
    found: dict[str, Any] = json.loads(answered["images"][0]["imageManifest"])
    return found
