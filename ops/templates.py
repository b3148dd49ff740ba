"""Synthesizes the templates of a working tree, without loading CDK into this process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.effects.template import Templates
from ops.errors import OperatorError
from ops.progress import working

ROOT = Path(__file__).resolve().parents[1]
LINES_PROGRAM = "tools/construct_lines.py"
"""Instead of app.py: the same app, which also records the lines that create each construct."""


@dataclass(frozen=True)
class Synthesized:
    """One environment."""

    place: str
    """Where its stacks go, as CDK writes it: aws://ACCOUNT/REGION."""
    templates: Templates


def synthesized(name: str) -> Templates:
    """Templates of one environment from this working tree, even if other environments' files are invalid.

    Raises `OperatorError`.
    """
    with _assembly(ROOT, _only(name)) as folder:
        return _templates(folder)[name]


def synthesized_in(tree: Path) -> dict[str, Synthesized]:
    """Every environment that a working tree has, by its name. Raises `OperatorError`."""
    with _assembly(tree, {}) as folder:
        return {name: Synthesized(place(folder / f"assembly-{name}"), own) for name, own in _templates(folder).items()}


def assemble(tree: Path, folder: Path, context: Mapping[str, str], *, program: str = "app.py") -> None:
    """The cloud assembly of a working tree, by its own code, into a folder. Raises `OperatorError`."""
    with working(f"synthesizing {context.get('env', 'every environment')}"):
        done = subprocess.run(
            [sys.executable, "-O", program],
            cwd=tree,
            env={
                **os.environ,
                "CDK_VALIDATION": "false",
                "CDK_OUTDIR": str(folder),
                "CDK_CONTEXT_JSON": json.dumps({**json.loads((tree / "cdk.json").read_text())["context"], **context}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise OperatorError(f"{context.get('env', tree)} cannot be synthesized:\n{done.stdout}{done.stderr}".strip())


def synthesized_with_lines(name: str) -> tuple[Templates, dict[str, list[str]]]:
    """Also FILE:LINE of the code that makes each construct, by its path, the innermost first. Raises `OperatorError`.

    Resources have their path in their metadata.
    """
    context = {**_only(name), "aws:cdk:enable-path-metadata": "true"}
    with _assembly(ROOT, context, program=LINES_PROGRAM) as folder:
        return with_lines(folder, name)


def with_lines(folder: Path, name: str) -> tuple[Templates, dict[str, list[str]]]:
    """The same, from a cloud assembly of `LINES_PROGRAM`."""
    return _templates(folder)[name], json.loads((folder / "construct-lines.json").read_text())


def _only(name: str) -> dict[str, str]:
    return {"env": name, "deployed": "yes"}


@contextmanager
def _assembly(tree: Path, context: Mapping[str, str], *, program: str = "app.py") -> Iterator[Path]:
    """The folder of the cloud assembly."""
    with tempfile.TemporaryDirectory() as folder:
        assemble(tree, Path(folder), context, program=program)
        yield Path(folder)


def _templates(folder: Path) -> dict[str, Templates]:
    found = sorted(folder.glob("assembly-*"))
    return {assembly.name.removeprefix("assembly-"): dict(read(assembly)) for assembly in found}


def read(assembly: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, template) of each stack in a cloud assembly of one environment."""
    for stack in _stacks(assembly):
        properties = stack["properties"]
        yield properties["stackName"], json.loads((assembly / properties["templateFile"]).read_text())


def place(assembly: Path) -> str:
    """aws://ACCOUNT/REGION: the same for every stack of one environment."""
    return str(next(_stacks(assembly))["environment"])


def _stacks(assembly: Path) -> Iterator[dict[str, Any]]:
    manifest = json.loads((assembly / "manifest.json").read_text())
    for artifact in manifest["artifacts"].values():
        if artifact["type"] == "aws:cloudformation:stack":
            yield artifact
