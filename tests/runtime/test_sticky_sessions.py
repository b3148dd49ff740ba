"""Sticky sessions are turned on and off under traffic: the weights of a rule stay as ECS has set them."""

from copy import deepcopy
from typing import Any

import pytest

from infra_runtime.custom_resource import Request
from infra_runtime.sticky_sessions import converge

RULES, GROUPS = ("production", "test"), ("blue", "green")


class InvalidConfigurationRequest(Exception):
    """Elastic Load Balancing's error (kubernetes-sigs/aws-load-balancer-controller #2734)."""


class Balancer:
    """Two rules over two target groups, as a release has left them."""

    def __init__(self) -> None:
        weights = {"production": (0, 100), "test": (0, 100)}
        self.rules: dict[str, Any] = {
            rule: {
                "Type": "forward",
                "Order": 1,
                "ForwardConfig": {
                    "TargetGroups": [
                        {"TargetGroupArn": group, "Weight": weight}
                        for group, weight in zip(GROUPS, weights[rule], strict=True)
                    ],
                    "TargetGroupStickinessConfig": {"Enabled": False},
                },
            }
            for rule in RULES
        }
        self.groups: dict[str, dict[str, str]] = {group: {"stickiness.enabled": "false"} for group in GROUPS}

    def describe_rules(self, **asked: list[str]) -> dict[str, Any]:
        return {"Rules": [{"RuleArn": arn, "Actions": [deepcopy(self.rules[arn])]} for arn in asked["RuleArns"]]}

    def modify_rule(self, **asked: Any) -> None:
        (action,) = asked["Actions"]
        stays = action["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"]
        if not stays and any(each["stickiness.enabled"] == "true" for each in self.groups.values()):
            raise InvalidConfigurationRequest("You must disable target stickiness first")
        self.rules[asked["RuleArn"]] = deepcopy(action)

    def modify_target_group_attributes(self, **asked: Any) -> None:
        wanted = {each["Key"]: each["Value"] for each in asked["Attributes"]}
        if wanted["stickiness.enabled"] == "true":
            for rule in self.rules.values():
                if not rule["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"]:
                    raise InvalidConfigurationRequest("You must enable group stickiness before target stickiness")
        self.groups[asked["TargetGroupArn"]].update(wanted)

    def weights(self) -> list[int]:
        return [each["Weight"] for rule in self.rules.values() for each in rule["ForwardConfig"]["TargetGroups"]]

    def between_groups(self) -> list[dict[str, Any]]:
        return [each["ForwardConfig"]["TargetGroupStickinessConfig"] for each in self.rules.values()]


@pytest.fixture
def balancer() -> Balancer:
    return Balancer()


def ask(kind: Any, balancer: Balancer, minutes: int = 60) -> str:
    properties = {"Rules": list(RULES), "TargetGroups": list(GROUPS), "Minutes": str(minutes)}
    return converge(Request(kind, properties, None if kind == "Create" else "sticky/production"), balancer).physical_id


def test_a_user_stays_with_a_task_for_as_long_as_the_file_says(balancer: Balancer) -> None:
    assert ask("Create", balancer) == "sticky/production"
    assert {tuple(sorted(each.items())) for each in balancer.groups.values()} == {
        (("stickiness.enabled", "true"), ("stickiness.lb_cookie.duration_seconds", "3600"),
         ("stickiness.type", "lb_cookie")),
    }  # fmt: skip
    ask("Update", balancer, 5)
    assert balancer.groups["green"]["stickiness.lb_cookie.duration_seconds"] == "300"


def test_no_user_stays_with_the_old_version_after_a_release(balancer: Balancer) -> None:
    """A cookie of a target group outlives its tasks: its user gets 503 until it expires (repost.aws, "ALB to
    automatically redirect traffic"). So it has the shortest duration; a bake takes at least five minutes."""
    ask("Create", balancer)
    assert balancer.between_groups() == [{"Enabled": True, "DurationSeconds": 1}] * 2


def test_the_weights_stay_as_ecs_has_set_them(balancer: Balancer) -> None:
    before = balancer.weights()
    for kind in ("Create", "Update", "Delete"):
        ask(kind, balancer)
        assert balancer.weights() == before


def test_it_is_turned_off_in_the_order_that_elastic_load_balancing_requires(balancer: Balancer) -> None:
    ask("Create", balancer)
    assert ask("Delete", balancer) == "sticky/production"
    assert {each["stickiness.enabled"] for each in balancer.groups.values()} == {"false"}
    assert balancer.between_groups() == [{"Enabled": False}] * 2
