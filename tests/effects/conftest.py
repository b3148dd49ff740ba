"""The tests' environments, and each again after edits of its file as operators make them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ops.effects.template import Template
from rehearsal.variants import with_sites_on_amplify

# Several edits in one synthesis, which takes two seconds: each is recognized by its resource.
_EDITS = {
    "production": {
        "port = 4000": "port = 4001\ntarget_group_port = 4000",
        'instance = "r8g.large"': 'instance = "r8g.xlarge"',
        "storage_gib = 100": "storage_gib = 50",
    },
    "dev": {
        "[previews]\nslots = 2\nhours = 72 # over a weekend\n": "",
        '["eu-central-1a", "eu-central-1b"]': '["eu-central-1a", "eu-central-1b", "eu-central-1c"]',
        'nat = "instance"': 'nat = "single"',
        'health_path = "/api/health/live"': 'health_path = "/api/health/alive"',
        'host = "dev.daadaar.com"': 'host = "new.daadaar.com"',
        'host = "api-dev.daadaar.com"': 'host = "api-next.daadaar.com"',
        'repository = "daadaar/backend"': 'repository = "daadaar/backend"\nformer_host = "api-dev.daadaar.com"',
        'zone = "daadaar.com"': 'zone = "daadaar.com"\nredirects = { "api-dev.daadaar.com" = "api" }',
        'origin = "worker"': 'origin = "connector"',
        'node = "cache.t4g.micro"': 'node = "cache.t4g.small"',
    },
    "staging": {'product = "daadaar"': 'product = "fruits"'},
}
Environments = dict[str, dict[str, Template]]
"""Templates by the names of stacks, in order of deployment, by environment."""


@pytest.fixture(scope="session")
def before(assembly: Path) -> Environments:
    return _read(assembly)


@pytest.fixture(scope="session")
def edited(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """Edited environments in which production's site is also on Amplify."""
    import aws_cdk as cdk

    import app
    from config import ENVIRONMENTS, load

    folder = tmp_path_factory.mktemp("edited")
    amplify = with_sites_on_amplify(ENVIRONMENTS, "production", into=folder / "amplify")
    found: Environments = {}
    for name, edits in _EDITS.items():
        files = shutil.copytree(amplify if name == "production" else ENVIRONMENTS, folder / name)
        text = (files / f"{name}.toml").read_text()
        for old, new in edits.items():
            assert old in text, f"{name}.toml has no {old!r} to edit"
            text = text.replace(old, new, 1)
        (files / f"{name}.toml").write_text(text)
        root = cdk.App(context=context, outdir=str(folder / name / "cdk.out"))
        app.build(root, load([name], directory=files, is_deployed=True))
        root.synth()
        found |= _read(folder / name / "cdk.out")
    return found


def _read(assembly: Path) -> Environments:
    from ops.templates import read

    return {each.name.removeprefix("assembly-"): dict(read(each)) for each in sorted(assembly.glob("assembly-*"))}
