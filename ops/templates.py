"""Templates as the code of a working tree makes them, without loading CDK into this process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.effects.template import Templates
from ops.errors import OperatorError

ROOT = Path(__file__).resolve().parents[1]


def synthesized(name: str) -> Templates:
    """Those of one environment, as this working tree makes them, whatever the other environments' files say.

    Raises `OperatorError`.
    """
    return _synthesized(ROOT, {"env": name, "deployed": "yes"})[name]


def synthesized_in(tree: Path) -> dict[str, Templates]:
    """Those of every environment that a working tree has, by its name. Raises `OperatorError`."""
    return _synthesized(tree, {})


def assemble(tree: Path, folder: Path, context: Mapping[str, str]) -> None:
    """The cloud assembly of a working tree, by its own code, into a folder. Raises `OperatorError`."""
    done = subprocess.run(
        [sys.executable, "-O", "app.py"],
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


def _synthesized(tree: Path, context: Mapping[str, str]) -> dict[str, Templates]:
    with tempfile.TemporaryDirectory() as folder:
        assemble(tree, Path(folder), context)
        found = sorted(Path(folder).glob("assembly-*"))
        return {assembly.name.removeprefix("assembly-"): dict(read(assembly)) for assembly in found}


def read(assembly: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, template) of each stack in a cloud assembly of one environment."""
    manifest = json.loads((assembly / "manifest.json").read_text())
    for artifact in manifest["artifacts"].values():
        if artifact["type"] == "aws:cloudformation:stack":
            properties = artifact["properties"]
            yield properties["stackName"], json.loads((assembly / properties["templateFile"]).read_text())
