"""Replacements that AWS's resource specification documents and no provider schema has.

The specification is in the CDK CLI's database (@aws-cdk/aws-service-spec), which merges it with the same schemas.
tools/documented_updates.py writes them to documented.json; run it after each update of the CLI.
"""

import gzip
import json
from pathlib import Path

from ops.effects.schemas import is_described, schema

_DATABASE = Path(__file__).resolve().parents[2] / "node_modules" / "aws-cdk" / "db.json.gz"


def specification() -> dict[str, dict[str, str]]:
    """Replacement by type and property: "yes", "no", or "maybe" for "some interruptions or replacement"."""
    database = json.loads(gzip.decompress(_DATABASE.read_bytes()))
    return {
        each["cloudFormationType"]: {
            name: property_.get("causesReplacement", "no") for name, property_ in each["properties"].items()
        }
        for each in database["schema"]["resource"]["entities"]
    }


def missing() -> dict[str, list[str]]:
    """Names of properties by type."""
    found: dict[str, list[str]] = {}
    for type_, properties in sorted(specification().items()):
        if not is_described(type_):
            continue
        known = schema(type_)
        top_level = {pointer for pointer in (*known.create_only, *known.conditional) if len(pointer) == 1}
        names = [name for name, answer in sorted(properties.items()) if answer != "no" and (name,) not in top_level]
        if names := [name for name in names if name in known.properties]:
            found[type_] = names
    return found


def document() -> str:
    """The text of documented.json: one line for each type, for readable diffs."""
    return (
        "{\n" + ",\n".join(f" {json.dumps(type_)}: {json.dumps(names)}" for type_, names in missing().items()) + "\n}\n"
    )
