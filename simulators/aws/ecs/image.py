"""An image as a folder: a pushed image is its working directory, a public one uses this machine's programs."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulators.aws import IMAGES

_HELPER_PATHS = {"/bin/busybox": Path(__file__).parent / "helper" / "busybox"}
_DEFAULT_COMMAND = ("node", "server.mjs")
cached: dict[str, str] = {}
"""Upstream registry by prefix: the account's pull through cache rules."""


class CannotPull(Exception):
    """The image cannot be pulled; the message is ECS's."""


class CannotStart(Exception):
    """The container cannot start; the message is ECS's, of Fargate's platform 1.4."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: "
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
            f"process: {why}"
        )


@dataclass(frozen=True)
class Image:
    folder: Path
    path: str
    """PATH in it: where its programs are."""
    command: Sequence[str]
    paths: Mapping[str, Path] = field(default_factory=dict)
    """Paths of the image that are elsewhere on this machine."""
    has_root: bool = False
    """Whether `folder` is the image's complete root. Other images use this machine's files besides."""

    def program(self, word: str) -> str:
        """Path of the program that a command's first word names. Raises `CannotStart`."""
        inside = self.folder / word.lstrip("/") if self.has_root and word.startswith("/") else None
        if found := shutil.which(inside if inside and inside.exists() else word, path=self.path):
            return found
        raise CannotStart(f'exec: "{word}": executable file not found in $PATH: unknown')


def is_public(reference: str) -> bool:
    """Whether it comes from a public registry, or from the account's cache of one."""
    registry, _, name = reference.partition("/")
    return ".dkr.ecr." not in registry or is_cached(name)


def is_cached(repository: str) -> bool:
    return any(repository.startswith(f"{prefix}/") for prefix in cached)


def image_of(reference: str) -> Image:
    """Raises `CannotPull`."""
    digest = reference.partition("@sha256:")[2]
    if digest and is_public(reference) and ".dkr.ecr." in reference:
        # A pull-through cache imports by tag only; a pull by digest finds nothing (aws/containers-roadmap #2837).
        raise CannotPull(f"CannotPullContainerError: failed to resolve ref {reference}: not found")
    if is_public(reference):
        return Image(Path(os.environ["TMPDIR"]), os.environ["PATH"], ("sh",), _HELPER_PATHS)
    folder = Path(os.environ[IMAGES]) / digest
    if not digest or not folder.exists():
        raise CannotPull(f"CannotPullContainerError: failed to resolve ref {reference}: not found")
    configuration = folder.with_suffix(".json")
    document = json.loads(configuration.read_text()) if configuration.exists() else {}
    command = document.get("command", _DEFAULT_COMMAND)
    if document.get("has_root"):
        return Image(folder, str(folder), command, has_root=True)
    programs = [document["programs"]] if "programs" in document else []
    return Image(folder, os.pathsep.join([*programs, os.environ["PATH"]]), command)
