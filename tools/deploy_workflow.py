"""Writes .github/workflows/deploy.yml from environments/: a part of `make accept`."""

import sys

from config import InvalidEnvironments, load
from config.deploy_workflow import WORKFLOW, workflow
from config.loader import OWN


def main() -> int:
    try:
        environments = load(directory=OWN)
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        return 2
    WORKFLOW.write_text(workflow(environments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
