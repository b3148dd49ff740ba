"""`docker push`, as far as anybody notices afterwards: an image in ECR, and a folder for whoever runs it."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from rehearsal.account import Account
from rehearsal.pipeline import PREVIEW, RELEASE, Pipeline
from rehearsal.product import FIRST, build


def push(
    account: Account,
    service: str,
    version: str,
    migrations: Sequence[str] = (FIRST,),
    *,
    scan: str = "COMPLETE",
    critical: int = 0,
    fault: Callable[[Path], None] | None = None,
    workflow: str = RELEASE,
) -> str:
    """Returns its reference, by digest. `fault` spoils what is in the image; `version` has to be another one then.

    `workflow` is the one that pushes it.
    """
    content = json.dumps([version, list(migrations)])
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "annotations": {"scan": scan, "critical": str(critical), "content": sha256(content.encode()).hexdigest()},
        }
    )
    repository = repository_of(account, service)
    tag = f"{'preview' if workflow == PREVIEW else 'release'}-{version}"
    ecr = Pipeline(account).runs(workflow, service).client("ecr")
    pushed = ecr.put_image(repositoryName=repository.partition("/")[2], imageManifest=manifest, imageTag=tag)["image"][
        "imageId"
    ]["imageDigest"]
    folder: Path = account.emulator.images / pushed.removeprefix("sha256:")
    if not folder.exists():
        build(folder, migrations)
        if fault is not None:
            fault(folder)
    return f"{repository}@{pushed}"


def repository_of(account: Account, service: str) -> str:
    """URI."""
    pages = account.client("ecr").get_paginator("describe_repositories").paginate()
    found = [each for page in pages for each in page["repositories"]]
    (one,) = [each["repositoryUri"] for each in found if f"-{service}" in each["repositoryName"].lower()]
    return str(one)
