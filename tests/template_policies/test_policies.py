"""Policies hold for every template, say what they are, and look at what they say that they look at."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from config import ENVIRONMENTS, Environment, load
from ops.effects.schemas import is_described, schema
from rehearsal.variants import with_queue, with_redis
from template_policies import Graph, Policy, policies, violations
from template_policies.graph import ATTRIBUTES, graphs
from template_policies.policy import EVERYTHING, Reads

Templates = dict[str, dict[str, Any]]


def test_every_template_keeps_every_policy(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    assert [found for graph in graphs(templates, loaded) for found in violations(graph)] == []


def test_every_way_of_redis_at_once_keeps_every_policy(
    every_redis: Templates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("every")
    ways = {"main": "cluster", "next": "upstash", "last": "external"}
    caches = with_redis(ENVIRONMENTS, "dev", ways, serves="next", into=folder / "caches")
    environments = load(["dev"], directory=with_queue(caches, "dev", into=folder / "environments"))
    assert [found for graph in graphs(every_redis, environments) for found in violations(graph)] == []


@pytest.mark.parametrize("policy", policies(), ids=lambda each: each.name)
def test_a_policy_says_what_it_demands_and_why(policy: Policy) -> None:
    assert policy.sentence.endswith("."), "one sentence, the docstring of its module"
    assert "\n" not in policy.sentence
    assert len(policy.reason.split()) >= 5
    assert policy.reads


def test_each_policy_has_another_name() -> None:
    names = [each.name for each in policies()]
    assert len(names) == len(set(names)) > 80


@pytest.fixture(scope="module")
def looked_at(templates: Templates, loaded: Mapping[str, Environment]) -> dict[str, set[tuple[str, str]]]:
    """(type, property) that each policy reads, by its name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for graph in graphs(templates, loaded):
        for policy in policies():
            graph.reads.clear()
            graph.memo.clear()
            list(policy.violations(graph))
            found.setdefault(policy.name, set()).update(graph.reads)
    return found


def test_a_policy_looks_at_nothing_that_it_does_not_say(looked_at: Mapping[str, set[tuple[str, str]]]) -> None:
    """`make mutate` runs only policies that declare the changed property."""
    undeclared = {
        (name, kind, property_)
        for name, read in looked_at.items()
        for kind, property_ in read
        if not _declares(_named(name).reads, kind, property_)
    }
    assert undeclared == set()


def _named(name: str) -> Policy:
    return next(each for each in policies() if each.name == name)


def _declares(reads: Reads, kind: str, property_: str) -> bool:
    everywhere = reads.get(EVERYTHING, ())
    return (
        (kind in reads and (property_ == "Type" or property_ in reads[kind] or EVERYTHING in reads[kind]))
        or property_ in everywhere
        or EVERYTHING in everywhere
    )


def test_no_policy_asks_for_a_property_that_does_not_exist() -> None:
    """A misspelt one would be missing everywhere: forbidding it would always hold."""
    assert _misspelt({"AWS::RDS::DBInstance": ("MultiAZ", "MultiAz")}) == [("AWS::RDS::DBInstance", "MultiAz")]
    assert [(each.name, *found) for each in policies() for found in _misspelt(each.reads)] == []


def _misspelt(reads: Reads) -> list[tuple[str, str]]:
    return [
        (kind, each)
        for kind, properties in reads.items()
        if kind.startswith("AWS::")
        for each in properties
        if not is_described(kind) or each not in {*schema(kind).properties, *ATTRIBUTES, "UpdatePolicy", EVERYTHING}
    ]


def test_references_lead_across_stacks(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    (graph,) = (each for each in graphs(templates, loaded) if each.name == "production")
    (service, *_) = graph.of("AWS::ECS::Service")
    cluster = service.target("Cluster")
    assert cluster is not None
    assert (cluster.stack, cluster.type) == ("Platform", "AWS::ECS::Cluster")
    assert service in graph.users(cluster, "AWS::ECS::Service")
    for policy in graph.of("AWS::IAM::Policy"):
        assert all(each.type == "AWS::IAM::Role" for each in policy.targets("Roles"))


def test_a_violation_names_resource_and_property(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    (graph,) = (each for each in _copied(templates, loaded) if each.name == "production")
    (database,) = graph.of("AWS::RDS::DBInstance")
    database.raw["Properties"]["StorageEncrypted"] = False
    (found,) = [each for each in violations(graph) if each.policy == "database_is_encrypted"]
    assert (found.stack, found.logical_id, found.property) == ("Data", database.logical_id, "StorageEncrypted")
    assert found.message == "is false, must be true"


def _copied(templates: Templates, loaded: Mapping[str, Environment]) -> Iterator[Graph]:
    import copy

    yield from graphs(copy.deepcopy(templates), loaded)
