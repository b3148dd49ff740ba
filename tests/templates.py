"""Templates, as tests compare them."""

from typing import Any


def plain(template: dict[str, Any]) -> dict[str, Any]:
    """A template without what the CDK CLI asks for in addition: paths in the tree, assets, and CDK's own numbers."""
    resources = {}
    for logical_id, each in template["Resources"].items():
        if logical_id == "CDKMetadata":
            continue
        kept = {
            key: value
            for key, value in each.get("Metadata", {}).items()
            if key != "aws:cdk:path" and not key.startswith("aws:asset:")
        }
        rest = {key: value for key, value in each.items() if key != "Metadata"}
        resources[logical_id] = {**rest, "Metadata": kept} if kept else rest
    return {**template, "Resources": resources}
