"""`infra change`: every step of a change, and what is left of them as they are done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ops.change import steps
from ops.doctor.deployed import of_effects
from ops.effects import effects
from ops.effects.template import Templates
from ops.errors import OperatorError
from tests.effects.test_order import stack

BEFORE = {
    "shop-dev-network": stack(gives={"zone": "c", "access": "a"}),
    "shop-dev-old-site": stack(takes=("access",)),
    "shop-dev-observability": stack(takes=("zone",)),
}
NO_ACCOUNT: Any = None
"""An account that is not read."""
AFTER = {"shop-dev-network": stack(), "shop-dev-observability": stack()}


def commands(before: object) -> list[str]:
    return [each.command for each in steps("dev", "shop", before, AFTER, NO_ACCOUNT)]  # type: ignore[arg-type]


def test_steps_follow_from_what_is_deployed() -> None:
    delete = "aws cloudformation delete-stack --stack-name shop-dev-old-site && "
    delete += "aws cloudformation wait stack-delete-complete --stack-name shop-dev-old-site"
    alone = "npx cdk deploy -c env=dev --exclusively dev/Observability"
    assert commands(BEFORE) == [alone, delete, "make deploy ENV=dev"]
    first_done = {**BEFORE, "shop-dev-observability": AFTER["shop-dev-observability"]}
    assert commands(first_done) == [delete, "make deploy ENV=dev"]
    second_done = {name: each for name, each in first_done.items() if name != "shop-dev-old-site"}
    assert commands(second_done) == ["make deploy ENV=dev"]
    assert commands(AFTER) == []


def test_an_unused_stack_is_deleted_after_the_deployment() -> None:
    before = {**AFTER, "shop-dev-old-site": stack()}
    assert [each.step for each in steps("dev", "shop", before, AFTER, NO_ACCOUNT)] == ["delete shop-dev-old-site"]


def test_a_change_that_no_order_of_steps_allows_is_refused() -> None:
    keeps = {**AFTER, "shop-dev-observability": stack(takes=("zone",))}
    with pytest.raises(OperatorError, match="no order of steps"):
        steps("dev", "shop", BEFORE, keeps, NO_ACCOUNT)


def test_a_deployment_waits_for_the_first_steps_even_if_their_effects_are_acknowledged() -> None:
    acknowledged = [each.name for each in effects(BEFORE, AFTER)]
    stopped = list(of_effects(NO_ACCOUNT, effects(BEFORE, AFTER), AFTER, acknowledged))
    assert {each.fix for each in stopped} == {"infra change next ENV, and its command"}
    done = {name: each for name, each in BEFORE.items() if name == "shop-dev-network"} | {
        "shop-dev-observability": AFTER["shop-dev-observability"]
    }
    assert list(of_effects(NO_ACCOUNT, effects(done, AFTER), AFTER, acknowledged)) == []


@dataclass
class Account:
    """An account with a database of a version."""

    version: str
    status: str = "available"
    pending: Mapping[str, Any] = field(default_factory=dict)
    """Changes that wait for RDS's maintenance window."""

    def client(self, _: str) -> Any:
        return self

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> Any:
        return [{"StackResourceSummaries": [{"LogicalResourceId": "It", "PhysicalResourceId": "shop-dev"}]}]

    def describe_db_instances(self, **_: str) -> Any:
        return {
            "DBInstances": [
                {
                    "DBInstanceIdentifier": "shop-dev",
                    "EngineVersion": self.version,
                    "DBInstanceStatus": self.status,
                    "AllocatedStorage": 20,
                    "PendingModifiedValues": self.pending,
                }
            ]
        }

    def describe_replication_groups(self, **_: str) -> Any:
        return {"ReplicationGroups": [{"ReplicationGroupId": "shop-dev", "Status": self.status}]}


def database(version: int, **more: str) -> Templates:
    properties = {"EngineVersion": str(version), **more}
    return {"shop-dev-data": {"Resources": {"It": {"Type": "AWS::RDS::DBInstance", "Properties": properties}}}}


@pytest.mark.parametrize(
    ("old", "new", "runs", "first"),
    [
        (17, 18, "17.9", ["first `infra database upgrade ENV --to 18`, then deploy this"]),
        (17, 18, "18.1", []),
        (18, 17, "18.1", ["first `infra database upgrade ENV --back`, then deploy this"]),
        (18, 17, "17.9", []),
    ],
)
def test_a_major_version_is_deployed_when_it_runs_already(old: int, new: int, runs: str, first: list[str]) -> None:
    """docs/runbooks/database-upgrade.md, step 4 and the rollback; with or without an acknowledgement."""
    before, after, account = database(old), database(new), Account(runs)
    found = steps("dev", "shop", before, after, account)
    assert [each.command for each in found] == [*first, "make deploy ENV=dev"]
    acknowledged = [each.name for each in effects(before, after)]
    assert [each.fix for each in of_effects(account, effects(before, after), after, acknowledged)] == first


@pytest.mark.parametrize(
    ("status", "change", "stops"),
    [
        ("available", {"AllocatedStorage": "40"}, []),
        ("storage-optimization", {"MonitoringInterval": "60"}, []),
        ("storage-optimization", {"AllocatedStorage": "40"}, ["It grows from 20 to 40 GiB"]),
        ("backing-up", {"MonitoringInterval": "60"}, ["It is backing-up"]),
        ("backing-up", {}, []),
    ],
)
def test_a_database_that_is_busy_is_not_changed(status: str, change: dict[str, str], stops: list[str]) -> None:
    before = database(17, AllocatedStorage="20")
    after = database(17, **{"AllocatedStorage": "20", **change})
    found = of_effects(Account("17.9", status), effects(before, after), after, ())
    assert [each.what for each in found] == stops


def test_a_change_would_also_apply_what_waits_for_the_maintenance_window() -> None:
    """A person has scheduled the change for the window."""
    before, account = database(17), Account("17.9", pending={"DBInstanceClass": "db.r8g.xlarge"})
    after = database(17, MonitoringInterval="60")
    (found,) = of_effects(account, effects(before, after), after, ())
    assert found.what == "It waits for its maintenance window with DBInstanceClass"
    assert list(of_effects(account, effects(before, before), before, ())) == [], "no change, and so nothing is applied"


@pytest.mark.parametrize(("status", "stops"), [("available", []), ("snapshotting", ["It is snapshotting"])])
def test_redis_that_is_busy_is_not_changed(status: str, stops: list[str]) -> None:
    def redis(window: str) -> Templates:
        properties = {"SnapshotWindow": window}
        group = {"Type": "AWS::ElastiCache::ReplicationGroup", "Properties": properties}
        return {"shop-dev-redis": {"Resources": {"It": group}}}

    before, after = redis("03:00-04:00"), redis("05:00-06:00")
    found = of_effects(Account("", status), effects(before, after), after, ())
    assert [each.what for each in found] == stops


def test_a_step_says_what_is_dangerous_about_it() -> None:
    after = {**AFTER, "shop-dev-observability": stack(port=81)}
    output = steps("dev", "shop", BEFORE, after, NO_ACCOUNT)
    assert "Dangerous: Group is replaced (Port). The new group has no tasks yet: users get 503." in output[0].why


@dataclass
class Balanced:
    """A frozen rule with all weight on green, whose service runs this number of tasks."""

    running: int

    def client(self, _: str) -> Any:
        return self

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> Any:
        types = {"Rule": "ListenerRule", "Blue": "TargetGroup", "Green": "TargetGroup", "Service": "AWS::ECS::Service"}
        return [
            {
                "StackResourceSummaries": [
                    {"LogicalResourceId": name, "PhysicalResourceId": f"group/{name}/1", "ResourceType": type_}
                    for name, type_ in types.items()
                ]
            }
        ]

    def describe_rules(self, **_: Any) -> Any:
        weights = {"Blue": 0, "Green": 100}
        groups = [{"TargetGroupArn": f"group/{name}/1", "Weight": weight} for name, weight in weights.items()]
        return {"Rules": [{"Actions": [{"ForwardConfig": {"TargetGroups": groups}}]}]}

    def describe_services(self, **_: Any) -> Any:
        balanced = [{"targetGroupArn": "group/Blue/1"}]
        return {"services": [{"runningCount": self.running, "loadBalancers": balanced}]}


def frozen(host: str) -> Templates:
    groups = [{"TargetGroupArn": {"Ref": "Blue"}, "Weight": 100}, {"TargetGroupArn": {"Ref": "Green"}, "Weight": 0}]
    properties = {
        "Actions": [{"ForwardConfig": {"TargetGroups": groups}}],
        "Conditions": [{"HostHeaderConfig": {"Values": [host]}}],
    }
    rule = {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": properties}
    return {"shop-dev-preview1": {"Resources": {"Rule": rule}}}


@pytest.mark.parametrize(("running", "stops"), [(1, ["Rule is updated (Conditions)"]), (0, [])])
def test_a_frozen_rule_of_a_preview_that_nobody_uses_may_change(running: int, stops: list[str]) -> None:
    """ECS leaves all weight with green after the first deployment, and an empty preview can have no release."""
    before, after = frozen("a.example.com"), frozen("b.example.com")
    acknowledged = [each.name for each in effects(before, after)]
    assert [each.what for each in of_effects(Balanced(running), effects(before, after), after, acknowledged)] == stops
