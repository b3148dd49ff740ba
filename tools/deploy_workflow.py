"""Writes .github/workflows/deploy.yml, with a job for each file in environments/: a part of `make accept`."""

import sys
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from config import Environment, InvalidEnvironments, load
from config.loader import OWN

WORKFLOW = Path(__file__).resolve().parents[1] / ".github" / "workflows" / "deploy.yml"
_HEAD = """\
# Written by `make accept` from environments/*.toml. What is on main is deployed to each environment, after the one
# that its `delivery.after` names, behind its GitHub environment's own approval.
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
      id-token: write # OIDC: no key is kept anywhere
    with:
      environment: {name}
"""


def text(environments: Mapping[str, Environment]) -> str:
    """The whole file."""
    after = {name: each.delivery.after for name, each in sorted(environments.items())}
    order = TopologicalSorter({name: [first] if first else [] for name, first in after.items()}).static_order()
    jobs = [_JOB.format(name=name, needs=f"    needs: {after[name]}\n" if after[name] else "") for name in order]
    return _HEAD + "\n".join(jobs)


def main() -> int:
    try:
        environments = load(directory=OWN)
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        return 2
    WORKFLOW.write_text(text(environments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
