"""Findings of public rule packs in an assembly, and those that are not acknowledged."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from config import Environment
from template_policies.graph import Graph, Resource, graphs
from tests.conftest import _templates
from tests.packs.acknowledged import ACKNOWLEDGED, CONTROL_TOWER

Finding = tuple[str, str, Resource | None, Graph]
"""Rule, place, resource, environment."""


def findings(assembly: Path, environments: Mapping[str, Environment]) -> Iterator[Finding]:
    ids = dict(_logical_ids(assembly))
    found = {each.name: each for each in graphs(_templates(assembly), environments)}
    for plugin in json.loads((assembly / "validation-report.json").read_text())["pluginReports"]:
        for violation in plugin["violations"]:
            for construct in violation["violatingConstructs"]:
                path = construct["constructPath"]
                if not path:
                    continue  # Control Tower's rules name some constructs twice, once without a path
                stage, stack = path.split("/")[:2]
                resource = found[stage].resources.get((stack, ids.get(f"/{path}", "")))
                yield violation["ruleName"].partition("[")[0].rpartition("-")[2], path, resource, found[stage]


def unacknowledged(found: Iterator[Finding]) -> list[str]:
    left = []
    for rule, path, resource, graph in found:
        known = ACKNOWLEDGED.get(rule) or CONTROL_TOWER.get(rule)
        if known is None or resource is None or not known.holds(graph, resource):
            left.append(f"{path}: {rule}")
    return left


def _logical_ids(assembly: Path) -> Iterator[tuple[str, str]]:
    for metadata in assembly.glob("assembly-*/*.metadata.json"):
        for path, entries in json.loads(metadata.read_text()).items():
            for entry in entries:
                if entry["type"] == "aws:cdk:logicalId":
                    yield path, entry["data"]
