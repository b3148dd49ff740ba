"""The effect of `docker push`: an image in ECR, and a folder from which the emulator runs it."""

import gzip
import io
import json
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from infra_runtime.contract.names import words
from infra_runtime.contract.releases import PLATFORMS
from rehearsal.account import Account
from rehearsal.pipeline import PREVIEW, RELEASE, Pipeline
from rehearsal.product import FIRST, build, command, programs_of_bun
from rehearsal.product.asked import ImageContract, commands, write_scripts

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIGURATION = "application/vnd.oci.image.config.v1+json"


def push(
    account: Account,
    service: str,
    version: str,
    migrations: Sequence[str] = (FIRST,),
    *,
    scan: str = "COMPLETE",
    critical: int = 0,
    architecture: str | None = None,
    fault: Callable[[Path], None] | None = None,
    workflow: str = RELEASE,
    bun: bool = False,
    program: Path | None = None,
) -> str:
    """Returns its reference, by digest. `fault` spoils what is in the image; `version` has to be another one then.

    `architecture` is arm64 or x86_64, by default the service's own. `workflow` is the one that pushes the image. With
    `program`, a Python file, the image has that one executable only; every other has what the environment's file asks
    for: paths, fields of answers, and scripts by their names. It runs on Bun if a command of the file does.
    """
    repository = repository_of(account, service)
    images = account.emulator.images
    images.mkdir(parents=True, exist_ok=True)
    platform = PLATFORMS[architecture or account.environment.services[service].architecture]
    configuration = json.dumps({"os": "linux", "architecture": platform.partition("/")[2]}).encode()
    with tempfile.TemporaryDirectory(dir=images) as temporary:
        built = Path(temporary) / "built"
        image: dict[str, object]
        if program is None:
            asked = ImageContract.of(account.environment.services[service])
            used = list(commands(account.environment, service))
            bun = bun or any(words[0] == "bun" for words, _ in used)
            build(built, migrations, asked=asked)
            write_scripts(built, used)
            image = {"command": command(asked, bun=bun)}
        else:
            _build_of(program, built)
            image = {"command": ["/server"], "has_root": True}
        if bun:
            image["programs"] = str(programs_of_bun(images / "bun"))
        if fault is not None:
            fault(built)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": upload(account.cdk.endpoint, repository, configuration, kind=_CONFIGURATION),
            "layers": [upload(account.cdk.endpoint, repository, _layer(built))],
            "annotations": {"scan": scan, "critical": str(critical), "version": version},
        }
        pushed = (
            Pipeline(account)
            .runs(workflow, service)
            .client("ecr")
            .put_image(
                repositoryName=repository.partition("/")[2],
                imageManifest=json.dumps(manifest),
                imageTag=f"{'preview' if workflow == PREVIEW else 'release'}-{version}",
            )["image"]["imageId"]["imageDigest"]
        )
        folder = images / pushed.removeprefix("sha256:")
        if not folder.exists():
            built.rename(folder)
            folder.with_suffix(".json").write_text(json.dumps(image))
    return f"{repository}@{pushed}"


def _build_of(program: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    # Not Python in the first line: there may be a space in its path.
    (folder / "server").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    (folder / "server").chmod(0o755)


def _layer(folder: Path) -> bytes:
    """What `COPY . .` brings in, but for what everybody has: the same files are the same bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file() and "node_modules" not in each.parts):
            text, member = path.read_bytes(), tarfile.TarInfo(f"app/{path.relative_to(folder)}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return gzip.compress(content.getvalue(), mtime=0)


def upload(endpoint: str | None, repository: str, content: bytes, *, kind: str = _LAYER) -> dict[str, object]:
    """Its descriptor, once it is there (OCI Distribution Specification, "Pushing a blob monolithically")."""
    digest = f"sha256:{sha256(content).hexdigest()}"
    registry, _, name = repository.partition("/")
    url = f"{endpoint}/v2/{name}/blobs/uploads/?{urllib.parse.urlencode({'digest': digest, 'ns': registry})}"
    urllib.request.urlopen(urllib.request.Request(url, data=content, method="POST")).close()
    return {"mediaType": kind, "digest": digest, "size": len(content)}


def repository_of(account: Account, service: str) -> str:
    """URI of the service's image repository."""
    pages = account.client("ecr").get_paginator("describe_repositories").paginate()
    found = [each for page in pages for each in page["repositories"]]
    # CloudFormation names it after the stack and the logical id.
    own = f"-{words(service)}Repository".lower()
    (one,) = [each["repositoryUri"] for each in found if own in each["repositoryName"]]
    return str(one)
