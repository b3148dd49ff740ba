"""What a policy is, and all of them: one module of `rules` each."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path

from template_policies.graph import Graph, Violation

Check = Callable[[Graph], Iterable[Violation]]
Reads = Mapping[str, Sequence[str]]
EVERYTHING = "*"


class Failure(Enum):
    """The kind of failure that the policy prevents."""

    ZONE_LOST = "an availability zone is lost"
    TASK_DIES = "a task dies, starts or is stopped"
    NAT_FAILS = "a NAT gateway fails"
    DATABASE_FAILS = "the database fails over or fills up"
    REDIS_FAILS = "Redis fails over or evicts"
    BAD_RELEASE = "a release is bad"
    BAD_MIGRATION = "a migration is bad"
    SECRET_ROTATES = "a secret is rotated, or never"
    CLOUDFLARE_CHANGES = "Cloudflare changes, or is passed by"
    DATA_LOST = "data is deleted"
    COST_RUNS_AWAY = "costs run away"
    ROLE_TAKEN_OVER = "a role is taken over"
    SUPPLY_CHAIN = "what runs is not what was built"
    UNOBSERVED = "a fault notifies no one"
    EXPOSED = "a stranger reaches what is private"
    DISCLOSED = "data or a secret can be read"
    REFUSED = "AWS refuses the deployment, or it waits for hours"


@dataclass(frozen=True, kw_only=True)
class Policy:
    name: str
    """Name of its module: "database_is_private"."""
    sentence: str
    reason: str
    failure: Failure
    reads: Reads
    """Types and their properties; EVERYTHING for properties of every type."""
    check: Check

    def is_about(self, kind: str, property_: str) -> bool:
        """Whether a change of this property can change the policy's result."""
        if property_ == "Type":
            return kind in self.reads or EVERYTHING in self.reads
        found = (*self.reads.get(kind, ()), *self.reads.get(EVERYTHING, ()))
        return property_ in found or EVERYTHING in found

    def violations(self, graph: Graph) -> Iterator[Violation]:
        for each in self.check(graph):
            yield replace(each, policy=self.name)


_REGISTERED: list[Policy] = []


def policy(*, reason: str, failure: Failure, reads: Reads) -> Callable[[Check], Check]:
    """Makes the function of a module its policy. The sentence is the module's docstring."""

    def register(check: Check) -> Check:
        module = sys.modules[check.__module__]
        sentence = (module.__doc__ or "").strip()
        name = check.__module__.rpartition(".")[2]
        _REGISTERED.append(
            Policy(name=name, sentence=sentence, reason=reason, failure=failure, reads=reads, check=check)
        )
        return check

    return register


@cache
def policies() -> tuple[Policy, ...]:
    """All policies, by name."""
    for path in sorted((Path(__file__).parent / "rules").rglob("*.py")):
        parts = path.relative_to(Path(__file__).parent).with_suffix("").parts
        if path.stem != "__init__":
            import_module(".".join(("template_policies", *parts)))
    return tuple(sorted(_REGISTERED, key=lambda each: each.name))


def violations(graph: Graph) -> list[Violation]:
    """Violations of every policy, in the policies' order."""
    return [found for each in policies() for found in each.violations(graph)]
