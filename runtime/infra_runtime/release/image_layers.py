"""Files of an image, read from its layers in ECR: so the image need not run or contain anything for it."""

import tarfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.release.manifests import manifest_of

_TIMEOUT_SECONDS = 20
_MOST_BYTES = 4_000_000
# The function has five minutes.
_LONGEST_SECONDS = 180


class Unreadable(Exception):
    """The image cannot be read; the message says why."""


def layers(ecr: Any, image: str, wanted: Callable[[str], bool]) -> Iterator[dict[str, bytes]]:
    """For each layer, the uppermost first, the files whose path is wanted; a path has no slash in front.

    `image` is a reference by digest. Of an image for several platforms, the first is read: they differ only in compiled
    files. Raises `Unreadable`.
    """
    uri, _, digest = image.partition("@")
    repository = uri.partition("/")[2]
    manifest = _manifest(ecr, repository, digest)
    give_up = time.monotonic() + _LONGEST_SECONDS
    for layer in reversed(manifest.get("layers", [])):
        try:
            url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer["digest"])["downloadUrl"]
            yield _files(url, wanted, give_up)
        except (ClientError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise Unreadable(f"layer {layer['digest']} of {image}: {error}") from error


def _manifest(ecr: Any, repository: str, digest: str) -> Mapping[str, Any]:
    try:
        found = manifest_of(ecr, repository, digest)
    except (ClientError, ValueError) as error:
        raise Unreadable(f"{repository}@{digest}: {error}") from error
    for each in found.get("manifests", []):
        # BuildKit lists attestations among the platforms, with platform "unknown".
        if each.get("platform", {}).get("os") != "unknown":
            return _manifest(ecr, repository, each["digest"])
    return found


def _files(url: str, wanted: Callable[[str], bool], give_up: float) -> dict[str, bytes]:
    """Wanted files of a layer, read while it arrives: a layer may be larger than the function's memory."""
    found = {}
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
        tarfile.open(fileobj=response, mode="r|*") as archive,
    ):
        for member in archive:
            if time.monotonic() > give_up:
                raise TimeoutError(f"not read in {_LONGEST_SECONDS} s")
            path = member.name.removeprefix("./").lstrip("/")
            if member.isfile() and member.size <= _MOST_BYTES and wanted(path):
                content = archive.extractfile(member)
                assert content is not None  # noqa: S101  (it is a file)
                found[path] = content.read()
    return found
