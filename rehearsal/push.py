"""`docker push`, as far as anybody notices afterwards: an image in ECR, and a folder for whoever runs it."""

import json
import sys
import urllib.request
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
    architecture: str = "arm64",
    fault: Callable[[Path], None] | None = None,
    workflow: str = RELEASE,
    program: Path | None = None,
) -> str:
    """Returns its reference, by digest. `fault` spoils what is in the image; `version` has to be another one then.

    `workflow` is the one that pushes it. With `program`, a Python file, the image has that one executable only.
    """
    content = json.dumps([version, list(migrations)])
    repository = repository_of(account, service)
    configuration = json.dumps({"os": "linux", "architecture": architecture}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": _push_blob(account, repository, configuration),
                "size": len(configuration),
            },
            "annotations": {"scan": scan, "critical": str(critical), "content": sha256(content.encode()).hexdigest()},
        }
    )
    tag = f"{'preview' if workflow == PREVIEW else 'release'}-{version}"
    ecr = Pipeline(account).runs(workflow, service).client("ecr")
    pushed = ecr.put_image(repositoryName=repository.partition("/")[2], imageManifest=manifest, imageTag=tag)["image"][
        "imageId"
    ]["imageDigest"]
    folder: Path = account.emulator.images / pushed.removeprefix("sha256:")
    if not folder.exists():
        if program is None:
            build(folder, migrations)
        else:
            _build_of(program, folder)
        if fault is not None:
            fault(folder)
    return f"{repository}@{pushed}"


def _build_of(program: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    # Not Python in the first line: there may be a space in its path.
    (folder / "server").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    (folder / "server").chmod(0o755)
    folder.with_suffix(".json").write_text(json.dumps({"command": ["/server"]}))


def _push_blob(account: Account, repository: str, content: bytes) -> str:
    """Returns its digest."""
    digest = f"sha256:{sha256(content).hexdigest()}"
    registry, _, name = repository.partition("/")
    url = f"{account.emulator.url}/v2/{name}/blobs/uploads/?ns={registry}&digest={digest}"
    with urllib.request.urlopen(urllib.request.Request(url, data=content, method="POST"), timeout=10):
        return digest


def repository_of(account: Account, service: str) -> str:
    """URI."""
    pages = account.client("ecr").get_paginator("describe_repositories").paginate()
    found = [each for page in pages for each in page["repositories"]]
    (one,) = [each["repositoryUri"] for each in found if f"-{service}" in each["repositoryName"].lower()]
    return str(one)
