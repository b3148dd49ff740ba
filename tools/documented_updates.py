"""Writes ops/effects/documented.json: replacements of AWS's resource specification that no provider schema has.

The specification is in the CDK CLI's database (@aws-cdk/aws-service-spec), which merges it with the same schemas.
"""

import gzip
import json
from pathlib import Path

from ops.effects.schemas import DOCUMENTED, is_described, schema

_DATABASE = Path(__file__).resolve().parents[1] / "node_modules" / "aws-cdk" / "db.json.gz"


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


def written(found: dict[str, list[str]]) -> str:
    """One line a type, so that a diff can be read."""
    return "{\n" + ",\n".join(f" {json.dumps(type_)}: {json.dumps(names)}" for type_, names in found.items()) + "\n}\n"


def main() -> None:
    DOCUMENTED.write_text(written(missing()))


if __name__ == "__main__":
    main()
