"""Every single fault of a template is noticed, or explained as harmless. CI judges a sample, `make mutate` at all.

Snapshots do not count: a reviewer may overlook a change in them.
"""

import copy
import json
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from config import Environment
from template_policies import Graph, Policy, policies, violations
from template_policies.graph import graphs
from tests.mutants.explained import EXPLAINED, explanation
from tests.mutants.judge import Verdict, judge
from tests.mutants.templates import Mutant, mutants, shape

Templates = dict[str, dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]
ALL = os.environ.get("MUTANTS") == "all"
# Policies whose fault is not among the generated mutants, each with a mutation that causes it.
ADDED: Mapping[str, tuple[str, str, Any]] = {
    "documents_stay_below_the_size_limit": (
        "AWS::IAM::ManagedPolicy",
        "PolicyDocument",
        {"Statement": [{"Sid": "a" * 6144}]},
    ),
    "variables_stay_below_the_size_limit": ("AWS::Lambda::Function", "Environment", {"Variables": {"A": '"' * 2048}}),
    "task_definitions_stay_below_the_size_limit": (
        "AWS::ECS::TaskDefinition",
        "Tags",
        [{"Key": "a", "Value": "b" * 32 * 1024}],
    ),
    "templates_stay_below_the_size_limit": ("AWS::CloudWatch::Dashboard", "DashboardBody", "a" * 1_000_000),
    "secrets_are_resolved_only_where_required": (
        "AWS::Lambda::Function",
        "Description",
        "{{resolve:secretsmanager:a/b}}",
    ),
}
SAMPLE = int(os.environ.get("MUTANTS", "400").replace("all", "0"))


@pytest.fixture(scope="module")
def environments(templates: Templates, loaded: Mapping[str, Environment]) -> list[Graph]:
    """Copies of the templates that may be changed."""
    found = graphs(copy.deepcopy(templates), loaded)
    assert [each for graph in found for each in violations(graph)] == []
    return found


@pytest.fixture(scope="module")
def faults(environments: Sequence[Graph]) -> list[Mutant]:
    """One mutant of each kind: the same fault in another environment counts once."""
    found: dict[int, Mutant] = {}
    for graph in environments:
        account = graph.environment.aws.account
        for mutant in mutants(graph):
            found.setdefault(hash(shape(mutant, masked={graph.name: "ENV", account: "ACCOUNT"})), mutant)
    return list(found.values())


def test_every_fault_is_noticed_or_explained(faults: Sequence[Mutant]) -> None:
    assert len(faults) > 15_000
    chosen = faults if ALL else random.Random(18).sample(faults, SAMPLE)
    verdicts = _judged(chosen)
    unexplained, used, explained = [], Counter[str](), Counter[str]()
    for mutant, (by, refused, _) in zip(chosen, verdicts, strict=True):
        if by is None and not refused:
            reason = explanation(mutant)
            if reason is None:
                unexplained.append(str(mutant))
            else:
                used[f"{reason.type} {reason.path} {reason.how}"] += 1
                explained[reason.why] += 1
    if ALL:
        _report(verdicts, explained, unexplained)
        stale = [each for each in EXPLAINED if not used[f"{each.type} {each.path} {each.how}"]]
        assert stale == [], "no mutant needs these lines of explained.py any more"
    assert unexplained == [], f"{len(unexplained)} of {len(chosen)}"


def test_violations_name_the_resource_and_property_at_fault(faults: Sequence[Mutant]) -> None:
    """A violation names the resource at fault or one that depends on it, a property and what is wrong."""
    chosen = random.Random(40).sample(faults, SAMPLE or 2000)
    for mutant, (by, _, value) in zip(chosen, _judged(chosen), strict=True):
        if by is not None:
            stack, _, property_, text = value
            assert stack, str(mutant)
            assert property_, str(mutant)
            assert len(text.split()) >= 2, (str(mutant), text)


@pytest.mark.parametrize("policy", [each for each in policies() if each.name not in ADDED], ids=lambda each: each.name)
def test_each_policy_notices_a_fault_of_what_it_reads(
    policy: Policy, by_property: Mapping[tuple[str, str], Sequence[Mutant]]
) -> None:
    """A policy that never finds a violation is useless."""
    about = [each for key in by_property for each in by_property[key] if policy.is_about(*key)]
    random.Random(18).shuffle(about)
    assert any(_objects(policy, each) for each in about[:1500]), "add a fault that it notices to ADDED"


@pytest.mark.parametrize("name", ADDED)
def test_a_policy_notices_what_is_added(name: str, environments: Sequence[Graph]) -> None:
    (policy,) = (each for each in policies() if each.name == name)
    kind, key, value = ADDED[name]
    graph = environments[0]
    properties = graph.of(kind)[0].raw["Properties"]
    before = dict(properties)
    properties[key] = value
    assert list(policy.violations(graph))
    properties.clear()
    properties.update(before)
    graph.forget()
    assert not list(policy.violations(graph))


@pytest.fixture(scope="module")
def by_property(faults: Sequence[Mutant]) -> dict[tuple[str, str], list[Mutant]]:
    found: dict[tuple[str, str], list[Mutant]] = {}
    for each in faults:
        found.setdefault((each.resource.type, each.changed), []).append(each)
    return found


def _objects(policy: Policy, mutant: Mutant) -> bool:
    graph = mutant.resource.graph
    undo = mutant.apply()
    graph.forget(resources=not mutant.place)
    try:
        return next(iter(policy.violations(graph)), None) is not None
    finally:
        undo()
        graph.forget(resources=not mutant.place)


Told = tuple[str | None, str | None, tuple[str, str, str, str]]
_chosen: Sequence[Mutant] = ()


def _judged(chosen: Sequence[Mutant]) -> list[Told]:
    """(policy, what CloudFormation says, (stack, resource, property, what is wrong)) of each."""
    global _chosen  # noqa: PLW0603  (what the forked processes find)
    _chosen = chosen
    if len(chosen) < 2000:
        return [_plain(judge(each.resource.graph, each)) for each in chosen]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_judge, range(len(chosen)), chunksize=200)


def _judge(number: int) -> Told:
    mutant = _chosen[number]
    return _plain(judge(mutant.resource.graph, mutant))


def _plain(verdict: Verdict) -> Told:
    value = verdict.violation
    place = (value.stack, value.logical_id, value.property, value.message) if value else ("", "", "", "")
    return verdict.by.name if verdict.by else None, verdict.refused, place


def _report(verdicts: Sequence[Told], explained: Mapping[str, int], unexplained: Sequence[str]) -> None:
    failures = {each.name: each.failure.value for each in policies()}
    noticed = Counter(failures[by] for by, _, _ in verdicts if by is not None)
    refused = sum(1 for by, message, _ in verdicts if by is None and message)
    lines = [f"{len(verdicts)} faults", "", "| noticed, as otherwise | faults |", "| --- | --- |"]
    lines += [f"| {name} | {count} |" for name, count in noticed.most_common()]
    lines += [f"| CloudFormation's own schema refuses it | {refused} |"]
    lines += [f"| not noticed: {why} | {count} |" for why, count in sorted(explained.items())]
    lines += [f"| not noticed, not explained | {len(unexplained)} |", "", *unexplained]
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "mutants.md").write_text("\n".join(lines) + "\n")
    (ROOT / "build" / "mutants.json").write_text(json.dumps({"noticed": noticed, "explained": explained}))
