"""Which platforms an image in ECR is for, found out without pulling it."""

import json
import urllib.request
from typing import Any

from infra_runtime.release.manifests import manifest_of

_SECONDS = 5
_MOST_BYTES = 1_000_000


def platforms_in(ecr: Any, repository: str, digest: str) -> set[str]:
    """Like linux/arm64. Raises what ECR's API raises, `OSError` and `ValueError` when what it gives cannot be read.

    An index names the platform of each image. A manifest names none: its configuration does, a blob that
    GetDownloadUrlForLayer gives like any layer (OCI Image Format Specification, "Image Index", "Image Configuration").
    """
    manifest = manifest_of(ecr, repository, digest)
    if "manifests" in manifest:
        found = set()
        for each in manifest["manifests"]:
            # Optional in an index.
            found |= {_named(each["platform"])} if "platform" in each else platforms_in(ecr, repository, each["digest"])
        # How docker buildx marks attestations.
        return found - {"unknown/unknown"}
    blob = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=manifest["config"]["digest"])
    with urllib.request.urlopen(blob["downloadUrl"], timeout=_SECONDS) as response:
        return {_named(json.loads(response.read(_MOST_BYTES)))}


def _named(platform: Any) -> str:
    return f"{platform['os']}/{platform['architecture']}"
