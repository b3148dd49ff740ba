"""Templates as the code of a working tree makes them, without loading CDK into this process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.errors import OperatorError

ROOT = Path(__file__).resolve().parents[1]


def synthesized(name: str, tree: Path = ROOT) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the stack, template) of the environment, in order of deployment. Raises `OperatorError`."""
    with tempfile.TemporaryDirectory() as folder:
        context = json.loads((tree / "cdk.json").read_text())["context"] | {"env": name}
        done = subprocess.run(
            [sys.executable, "-O", "app.py"],
            cwd=tree,
            env={
                **os.environ,
                "CDK_VALIDATION": "false",
                "CDK_OUTDIR": folder,
                "CDK_CONTEXT_JSON": json.dumps(context),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OperatorError(f"{name} cannot be synthesized:\n{done.stdout}{done.stderr}".strip())
        assembly = Path(folder) / f"assembly-{name}"
        manifest = json.loads((assembly / "manifest.json").read_text())
        for artifact in manifest["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                properties = artifact["properties"]
                yield properties["stackName"], json.loads((assembly / properties["templateFile"]).read_text())
