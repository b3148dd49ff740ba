"""What an environment declares at Cloudflare: a JSON document in each custom resource."""

import json
from typing import Any

from template_policies.graph import Graph, Resource

KIND = "Custom::Cloudflare"


def declarations(graph: Graph, *stacks: str) -> list[tuple[Resource, dict[str, Any]]]:
    """(resource, document) of each declaration; the document is empty if the text is not JSON."""
    found = []
    for each in graph.of(KIND):
        if each.stack in stacks:
            try:
                document = json.loads(each.text(each.get("Document", "")))
            except ValueError:
                document = {}
            found.append((each, document if isinstance(document, dict) else {}))
    return found


def named(graph: Graph) -> dict[str, tuple[Resource, dict[str, Any]]]:
    """Documents of the stack Edge, by "kind/name"."""
    return {f"{each.get('kind')}/{each.get('name')}": (where, each) for where, each in declarations(graph, "Edge")}
