"""Edits of an environment's file, and the effects that are reported before a deployment."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.doctor.unreleased import unreleased
from ops.effects import Effect, Impact, effects
from ops.effects.changes import difference
from ops.effects.order import order
from ops.effects.rules.replaced import DATA, KEPT
from tests.effects.conftest import Environments

DANGEROUS, IMPOSSIBLE = Impact.DANGEROUS, Impact.IMPOSSIBLE


def found(before: Environments, after: Environments, environment: str) -> list[Effect]:
    return effects(before[environment], after[environment])


def some(found: list[Effect], severity: Impact, stack: str, kind: str, expected: str) -> bool:
    return any(
        (each.severity, each.kind) == (severity, kind)
        and each.stack.endswith(f"-{stack}")
        and expected in f"{each.resource} {each.type} {each.what} {each.consequence} {each.procedure}"
        for each in found
    )


@pytest.mark.parametrize(
    ("environment", "severity", "stack", "kind", "expected"),
    [
        # ECS → Amplify
        ("production", DANGEROUS, "network", "in-use", "in use by daadaar-production-frontend"),
        ("production", DANGEROUS, "frontend", "left-behind", "It runs on, billed (Service)"),
        ("production", DANGEROUS, "registry", "gone", "The image repository stays outside every stack"),
        # database.storage_gib, database.instance
        ("production", IMPOSSIBLE, "data", "refused", "would shrink from 100 to 50 GiB"),
        ("production", DANGEROUS, "data", "interrupted", "changes from db.r8g.large to db.r8g.xlarge, at once"),
        ("production", DANGEROUS, "data", "interrupted", "It fails over to its standby"),
        # health_path, host
        ("dev", Impact.LOOK, "api", "health", "/api/health/live → /api/health/alive"),
        ("dev", Impact.LOOK, "api", "health", "The deployment asks each running task first"),
        ("dev", DANGEROUS, "frontend", "weights", "requests for dev.daadaar.com get 404"),
        ("dev", DANGEROUS, "platform", "uncertified", "answers dev.daadaar.com"),
        ("dev", DANGEROUS, "edge", "unnamed", "no longer have dev.daadaar.com"),
        # host beside former_host
        ("dev", Impact.LOOK, "edge", "leads", "point api-dev.daadaar.com to api-next.daadaar.com"),
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
def test_an_edit_is_reported_with_its_consequence(
    *,
    environment: str,
    severity: Impact,
    stack: str,
    kind: str,
    expected: str,
    before: Environments,
    edited: Environments,
) -> None:
    assert some(found(before, edited, environment), severity, stack, kind, expected)


@pytest.mark.parametrize(
    ("severity", "stack", "kind", "expected"),
    [
        # network.availability_zones from three to two
        (DANGEROUS, "network", "in-use", "VpcIsolatedSubnet3"),
        (DANGEROUS, "network", "in-use", "daadaar-dev-redis still imports it"),
        # network.nat from a gateway to an instance
        (DANGEROUS, "network", "in-use", "NATGateway"),
        (Impact.LOOK, "network", "rerouted", "outgoing requests come from another address"),
    ],
)
def test_a_reverted_edit_is_reported(
    *, severity: Impact, stack: str, kind: str, expected: str, before: Environments, edited: Environments
) -> None:
    assert some(found(edited, before, "dev"), severity, stack, kind, expected)


def test_another_port_beside_the_port_of_the_target_groups_is_safe(before: Environments, edited: Environments) -> None:
    """Production's API: tasks at both ports are reached while ECS moves the traffic."""
    api = [each for each in found(before, edited, "production") if each.stack.endswith(("-api", "-network"))]
    assert "AWS::ECS::Service" in {each.type for each in api}
    assert {each.severity for each in api if "Api" in each.resource or each.stack.endswith("-api")} == {Impact.SAFE}


def test_a_host_that_is_kept_as_the_former_one_is_served_all_the_time(
    before: Environments, edited: Environments
) -> None:
    """Certificate and listener rule keep the former host until Cloudflare redirects it."""
    messages = [f"{each.what} {each.consequence}" for each in found(before, edited, "dev") if each.kind != "leads"]
    assert not [each for each in messages if "api-dev.daadaar.com" in each]


def test_media_origin_changes_in_one_deployment(before: Environments, edited: Environments) -> None:
    """From a Worker to Cloud Connector and back: no export of the function that rotates the key is in use."""
    for was, is_ in ((before["dev"], edited["dev"]), (edited["dev"], before["dev"])):
        assert not [each for each in effects(was, is_) if each.kind == "in-use" and each.stack == "daadaar-dev-edge"]


def test_a_site_that_moves_to_amplify_keeps_its_stack_until_dns_leads_there(
    before: Environments, edited: Environments
) -> None:
    was, is_ = before["production"], edited["production"]
    assert "daadaar-production-frontend" in was.keys() - is_.keys()
    assert not [each for each in effects(was, is_) if each.kind in ("uncertified", "unnamed")]
    assert some(effects(was, is_), Impact.LOOK, "edge", "leads", "point daadaar.com to")
    steps = [(each.stack, each.is_deletion) for each in order(difference(was, is_)).first]
    at = {stack: number for number, (stack, _) in enumerate(steps)}
    assert at["daadaar-production-frontend-amplify"] < at["daadaar-production-edge"]
    assert at["daadaar-production-edge"] < at["daadaar-production-frontend"]
    assert steps[at["daadaar-production-frontend"]] == ("daadaar-production-frontend", True)


def test_an_environment_whose_file_is_removed_serves_and_is_billed(before: Environments) -> None:
    (effect,) = effects(before["dev"], {})
    assert (effect.kind, effect.severity) == ("left-behind", DANGEROUS)
    assert all(
        each in effect.consequence for each in ("DBInstance", "LoadBalancer", "Service", "no deployment updates it")
    )
    assert "destroy the environment while its file is there" in effect.procedure


class NoService:
    """An account without the stacks that the code adds."""

    def client(self, _: str) -> Any:
        return self

    def get_paginator(self, _: str) -> Any:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "ListStackResources")


def test_dns_leads_no_user_to_a_site_that_comes_back_from_amplify_and_was_never_released(
    before: Environments, edited: Environments
) -> None:
    was, is_ = edited["production"], before["production"]
    ((effect, service),) = unreleased(NoService(), effects(was, is_), is_)
    assert (service, "point daadaar.com to" in effect.what) == ("frontend", True)
    assert list(unreleased(NoService(), effects(is_, was), was)) == [], "Amplify builds it"


def test_effects_come_in_order_of_deployment(before: Environments, edited: Environments) -> None:
    order = [each.stack for each in found(before, edited, "production")]
    deployed = [stack for stack in edited["production"] if stack in order]
    assert list(dict.fromkeys(order)) == [*deployed, "daadaar-production-frontend"], "what stays behind comes last"
    assert [each.stack for each in found(before, edited, "dev")][-2:] == [
        "daadaar-dev-preview1",
        "daadaar-dev-preview2",
    ]


def test_every_resource_type_that_templates_retain_counts_as_data(before: Environments) -> None:
    """Replacing data is dangerous. An OIDC provider is kept for others' roles, but holds no data."""
    kept = {
        each["Type"]
        for templates in before.values()
        for template in templates.values()
        for each in template["Resources"].values()
        if each.get("DeletionPolicy") in KEPT
    }
    assert "AWS::RDS::DBInstance" in kept
    assert kept - {"AWS::IAM::OIDCProvider"} <= DATA.keys()


def test_without_changes_nothing_is_reported(before: Environments) -> None:
    assert [effects(each, each) for each in before.values()] == [[], [], []]


def test_more_of_everything_is_neither_dangerous_nor_impossible(before: Environments, edited: Environments) -> None:
    """The third zone and the gateway of dev."""
    network = [each for each in found(before, edited, "dev") if each.stack == "daadaar-dev-network"]
    assert max(each.severity for each in network) is Impact.LOOK


def test_an_acknowledgement_names_one_change_to_one_value(before: Environments, edited: Environments) -> None:
    there, back = found(before, edited, "dev"), found(edited, before, "dev")
    names = [each.name for each in [*there, *back] if each.severity is DANGEROUS]
    assert len(names) == len(set(names)) > 6
