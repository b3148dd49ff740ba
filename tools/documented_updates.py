"""Writes ops/effects/documented.json: `python -m tools.documented_updates`, after each update of the CDK CLI."""

from ops.effects.schemas import DOCUMENTED
from ops.effects.specification import document

if __name__ == "__main__":
    DOCUMENTED.write_text(document())
