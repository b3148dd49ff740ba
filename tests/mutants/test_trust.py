"""Every fault of a trust policy that lets a wrong token in is noticed by the policy about trust."""

import copy
from collections.abc import Mapping
from typing import Any

from config import Environment
from template_policies import Graph, policies
from template_policies.graph import graphs
from tests.mutants.templates import Mutant, mutants
from tests.trust import ISSUER, admits, subjects

Templates = dict[str, dict[str, Any]]
AUDIENCE = "sts.amazonaws.com"


def test_a_trust_that_lets_a_wrong_token_in_is_noticed(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    (policy,) = (each for each in policies() if each.name == "roles_trust_one_service")
    looser = 0
    for graph in graphs(copy.deepcopy(templates), loaded):
        for mutant in _of_trust(graph):
            document = mutant.resource.raw["Properties"].get("AssumeRolePolicyDocument")
            intended = document["Statement"][0]["Condition"]["StringEquals"][f"{ISSUER}:sub"]
            undo = mutant.apply()
            document = mutant.resource.raw["Properties"].get("AssumeRolePolicyDocument")
            graph.forget(resources=False)
            if _lets_others_in(document, intended):
                looser += 1
                assert next(iter(policy.violations(graph)), None) is not None, str(mutant)
            undo()
            graph.forget(resources=False)
    assert looser > 20


def _of_trust(graph: Graph) -> list[Mutant]:
    """Mutants of the roles that GitHub's tokens may assume."""
    federated = [
        role
        for role in graph.of("AWS::IAM::Role")
        if "Federated" in str(role.get("AssumeRolePolicyDocument.Statement"))
    ]
    return [
        each
        for each in mutants(graph)
        if each.place[:2] == ("Properties", "AssumeRolePolicyDocument") and each.resource in federated
    ]


def _lets_others_in(document: Any, intended: str) -> bool:
    repository, _, environment = intended.removeprefix("repo:").partition(":environment:")
    tokens = [{"aud": AUDIENCE, "sub": each} for each in subjects(repository, environment)]
    tokens += [{"aud": "x", "sub": intended}, {"aud": AUDIENCE}, {"sub": intended}]
    try:
        return any(admits(document, each) for each in tokens)
    except (KeyError, TypeError, AttributeError):
        return False  # IAM refuses it
