"""Facts that must not change by accident: written by hand, and compared with every template."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config import Environment, available
from ops.effects.rules.replaced import DATA, KEPT
from tests.templates import of_type

Templates = dict[str, dict[str, Any]]


def test_adding_a_zone_moves_no_subnet(templates: Templates) -> None:
    """staging has two zones of the three that are planned for: its subnets leave room for the third."""
    cidrs = [each["Properties"]["CidrBlock"] for _, each in of_type(templates, "AWS::EC2::Subnet", name="staging/")]
    assert sorted(cidrs) == [
        "10.21.0.0/22",
        "10.21.128.0/22",
        "10.21.132.0/22",
        "10.21.32.0/19",
        "10.21.4.0/22",
        "10.21.64.0/19",
    ]


def test_priorities_of_rules_never_change(templates: Templates) -> None:
    """ECS moves the weights of these rules; one that is replaced puts users on an empty group.

    Read docs/adr/0004-frozen-rules.md before you change a number here.
    """
    seen = []
    for where, rule in of_type(templates, "AWS::ElasticLoadBalancingV2::ListenerRule"):
        seen.append(where)
        slot = re.search(r"/Preview(\d)/", where)
        service = "api" if "/Api" in where else "frontend"
        assert rule["Properties"]["Priority"] == {
            ("api", None): 36724, ("api", "1"): 30643, ("api", "2"): 12121,
            ("frontend", None): 27164, ("frontend", "1"): 46827, ("frontend", "2"): 35745,
        }[service, slot[1] if slot else None], where  # fmt: skip
    assert len(seen) == 3 * 2 * 2 + 2 * 2 * 2


def test_tasks_run_on_arm_where_no_service_says_otherwise(loaded: Mapping[str, Environment]) -> None:
    assert {each.architecture for name in loaded for each in loaded[name].services.values()} == {"arm64"}


def test_kept_stacks_are_protected(assembly: Path, loaded: Mapping[str, Environment]) -> None:
    protected = {}
    for nested in assembly.glob("assembly-*"):
        for artifact in json.loads((nested / "manifest.json").read_text())["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                protected[artifact["displayName"]] = artifact["properties"].get("terminationProtection", False)
    for name in loaded:
        stateful = {stack for stack in ("Network", "Data", "Registry", "Platform") if protected[f"{name}/{stack}"]}
        assert stateful == {"Network", "Data", "Registry", "Platform"}
        assert not protected[f"{name}/Edge"]


# Written by hand: changing a line deletes the resource behind it and creates an empty one.
STATEFUL = {
    "Data": {
        "AWS::KMS::Key": {"Key9BCD29C7"},
        "AWS::RDS::DBInstance": {"DatabaseInstanceAA8A5FDE"},
        "AWS::S3::Bucket": {"MediaBucket4022EBBF"},
    },
    # Its data may be lost, its address may not: another id is another server.
    "Redis": {"AWS::ElastiCache::ReplicationGroup": {"InstancesmainGroup4D7BDE34"}},
    "Registry": {
        "AWS::DynamoDB::Table": {"ReleasesTableDDBF6907"},
        "AWS::ECR::Repository": {"ApiRepositoryAADF3F12", "FrontendRepository8FE916EE"},
    },
}
# Kept when the stack is deleted, but an empty replacement does no harm.
ACCESS_LOGS = "LoadBalancerAccessLogsB27DFC85"
# A repository whose image ECR can fetch again.
CACHE = "HelperRepository"


@pytest.mark.parametrize("name", available())
def test_ids_of_what_holds_state_never_change(name: str, templates: Templates) -> None:
    for stack, kinds in STATEFUL.items():
        resources = templates[f"{name}/{stack}"]["Resources"]
        for kind, ids in kinds.items():
            assert {key for key, each in resources.items() if each["Type"] == kind and not key.startswith(CACHE)} == ids


def test_everything_that_keeps_data_is_pinned(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    """Data are the resource types that `infra review` and `infra doctor` treat as such (ops.effects)."""
    found = {
        (stack.partition("/")[2], each["Type"], key)
        for stack, template in templates.items()
        if stack.partition("/")[0] in loaded
        for key, each in template["Resources"].items()
        if each["Type"] in DATA and each.get("DeletionPolicy") in KEPT and key != ACCESS_LOGS
    }
    pinned = {(stack, kind, key) for stack, kinds in STATEFUL.items() for kind, ids in kinds.items() for key in ids}
    assert found == pinned, "STATEFUL pins the logical id of everything that keeps data"
