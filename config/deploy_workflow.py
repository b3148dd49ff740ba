"""The text of .github/workflows/deploy.yml: one job for each environment."""

from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from config.model import Environment

WORKFLOW = Path(__file__).resolve().parents[1] / ".github" / "workflows" / "deploy.yml"
_HEAD = """\
# Written by `make accept` from environments/*.toml. Deploys main to each environment: after the one that its
# `delivery.after` names, and with the approvals that its GitHub environment requires.
name: deploy

on:
  push:
    branches: [main]
  workflow_dispatch:

permissions: {}

jobs:
"""
_JOB = """\
  {name}:
    name: {name}
{needs}    uses: ./.github/workflows/deploy-environment.yml
    permissions:
      actions: read # how GitHub names this repository in tokens, for `infra doctor`
      contents: read
      id-token: write # OIDC instead of a stored key
    with:
      environment: {name}
"""


def workflow(environments: Mapping[str, Environment]) -> str:
    """The whole file. `environments` by name."""
    after = {name: each.delivery.after for name, each in sorted(environments.items())}
    order = TopologicalSorter({name: [first] if first else [] for name, first in after.items()}).static_order()
    jobs = [_JOB.format(name=name, needs=f"    needs: {after[name]}\n" if after[name] else "") for name in order]
    return _HEAD + "\n".join(jobs)
