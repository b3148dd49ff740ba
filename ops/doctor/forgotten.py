"""Environments whose stacks still exist but whose file does not."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from ops.doctor.finding import Finding
from ops.functions import Clients
from ops.stacks import every_stack


def forgotten(clients: Clients, product: str, known: Collection[str]) -> Iterator[Finding]:
    """`known` are names of environments. None of it stops a deployment. Raises what boto3 raises."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in every_stack(clients):
        name = each.tags.get("environment")
        if each.tags.get("product") == product and name is not None and name not in known:
            found[name].append(each.name)
    for name, stacks in sorted(found.items()):
        yield Finding(
            where=stacks[0],
            what=f"{name} has no file, but its stacks still exist: {len(stacks)}",
            why="they keep serving and are billed, but no deployment updates or destroys them",
            fix=f"restore environments/{name}.toml, then docs/runbooks/decommission.md",
            stops=False,
        )
