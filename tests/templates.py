"""Templates, as tests compare them."""

from collections.abc import Iterator, Mapping
from typing import Any


def plain(template: dict[str, Any]) -> dict[str, Any]:
    """A template without additions for the CDK CLI: construct paths, assets, and CDK's versions."""
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


def of_type(
    templates: Mapping[str, dict[str, Any]], kind: str, *, name: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, resource) of one type, in one environment or in all; at least one, or the question means nothing."""
    found = [
        (f"{stack}/{logical_id}", resource)
        for stack, template in templates.items()
        if stack.startswith(name)
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    ]
    assert found, f"no {kind} in {name or 'any environment'}"
    yield from found
