"""Edits that people make in an environment's file, and what they are told before anybody deploys them."""

import pytest

from ops.effects import Effect, Impact, effects
from tests.effects.conftest import Environments

DANGEROUS, IMPOSSIBLE = Impact.DANGEROUS, Impact.IMPOSSIBLE


def found(before: Environments, after: Environments, environment: str) -> list[Effect]:
    return effects(before[environment], after[environment])


def some(found: list[Effect], severity: Impact, stack: str, kind: str, told: str) -> bool:
    return any(
        (each.severity, each.kind) == (severity, kind)
        and each.stack.endswith(f"-{stack}")
        and told in f"{each.resource} {each.type} {each.what} {each.consequence} {each.procedure}"
        for each in found
    )


@pytest.mark.parametrize(
    ("environment", "severity", "stack", "kind", "told"),
    [
        # ECS → Amplify
        ("production", DANGEROUS, "network", "in-use", "in use by daadaar-production-frontend"),
        ("production", DANGEROUS, "frontend", "in-use", "in use by daadaar-production-observability"),
        ("production", DANGEROUS, "frontend", "gone", "answers requests for daadaar.com with 404"),
        ("production", DANGEROUS, "registry", "gone", "The image repository stays, outside every stack"),
        # database.storage_gib, database.instance
        ("production", IMPOSSIBLE, "data", "refused", "would shrink from 100 to 50 GiB"),
        ("production", DANGEROUS, "data", "interrupted", "changes from db.r8g.large to db.r8g.xlarge, at once"),
        ("production", DANGEROUS, "data", "interrupted", "It fails over to its standby"),
        # health_path, host
        ("dev", DANGEROUS, "api", "health", "/api/health/live → /api/health/alive"),
        ("dev", DANGEROUS, "frontend", "weights", "requests for dev.daadaar.com get 404"),
        # [previews] removed
        ("dev", DANGEROUS, "preview1", "left-behind", "It runs on, billed (Service)"),
        ("dev", DANGEROUS, "data", "in-use", "in use by daadaar-dev-preview1"),
        # redis.instances.main.elasticache.node, without a replica
        ("dev", DANGEROUS, "redis", "interrupted", "it does not answer meanwhile"),
        # product
        ("staging", DANGEROUS, "network", "renamed", "fruits-staging-network begins a second environment"),
        ("staging", IMPOSSIBLE, "data", "exists", "named daadaar-media-staging-frkia"),
    ],
)
def test_an_edit_is_told_with_its_consequence(
    *,
    environment: str,
    severity: Impact,
    stack: str,
    kind: str,
    told: str,
    before: Environments,
    edited: Environments,
) -> None:
    assert some(found(before, edited, environment), severity, stack, kind, told)


@pytest.mark.parametrize(
    ("severity", "stack", "kind", "told"),
    [
        # network.availability_zones from three to two
        (DANGEROUS, "network", "in-use", "VpcIsolatedSubnet3"),
        (DANGEROUS, "network", "in-use", "daadaar-dev-redis still imports it"),
        # network.nat from a gateway to an instance
        (DANGEROUS, "network", "in-use", "NATGateway"),
        (Impact.LOOK, "network", "rerouted", "outgoing requests come from another address"),
    ],
)
def test_an_edit_is_told_when_it_is_taken_back(
    *, severity: Impact, stack: str, kind: str, told: str, before: Environments, edited: Environments
) -> None:
    assert some(found(edited, before, "dev"), severity, stack, kind, told)


def test_another_port_beside_the_port_of_the_target_groups_is_safe(before: Environments, edited: Environments) -> None:
    """Of production's API. Tasks at both ports are reached while ECS moves the traffic."""
    api = [each for each in found(before, edited, "production") if each.stack.endswith(("-api", "-network"))]
    assert "AWS::ECS::Service" in {each.type for each in api}
    assert {each.severity for each in api if "Api" in each.resource or each.stack.endswith("-api")} == {Impact.SAFE}


def test_effects_come_in_order_of_deployment(before: Environments, edited: Environments) -> None:
    order = [each.stack for each in found(before, edited, "production")]
    assert list(dict.fromkeys(order)) == [stack for stack in edited["production"] if stack in order]
    assert [each.stack for each in found(before, edited, "dev")][-2:] == [
        "daadaar-dev-preview1",
        "daadaar-dev-preview2",
    ]


def test_nothing_is_told_of_what_does_not_change(before: Environments) -> None:
    assert [effects(each, each) for each in before.values()] == [[], [], []]


def test_more_of_everything_is_neither_dangerous_nor_impossible(before: Environments, edited: Environments) -> None:
    """The third zone and the gateway of dev."""
    network = [each for each in found(before, edited, "dev") if each.stack == "daadaar-dev-network"]
    assert max(each.severity for each in network) is Impact.LOOK


def test_an_acknowledgement_names_one_change_to_one_value(before: Environments, edited: Environments) -> None:
    there, back = found(before, edited, "dev"), found(edited, before, "dev")
    names = [each.name for each in [*there, *back] if each.severity is DANGEROUS]
    assert len(names) == len(set(names)) > 6
