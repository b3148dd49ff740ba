"""In which order stacks can be changed when one still imports what another drops."""

from collections.abc import Mapping
from typing import Any

from ops.effects import Effect, Impact, effects
from ops.effects.changes import difference
from ops.effects.order import StackStep, order
from ops.effects.template import Template, Templates


def stack(*, gives: Mapping[str, Any] = {}, takes: tuple[str, ...] = (), port: int = 80) -> Template:
    """With a target group, exports, and what it imports in the properties of a queue."""
    taken = {"Tags": [{"Key": name, "Value": {"Fn::ImportValue": name}} for name in takes]}
    return {
        "Resources": {
            "Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {"Port": port}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": taken},
        },
        "Outputs": {name: {"Value": value, "Export": {"Name": name}} for name, value in gives.items()},
    }


def first(before: Templates, after: Templates) -> list[str]:
    found = order(difference(before, after)).first
    return [f"{'delete' if each.is_deletion else 'deploy'} {each.stack}" for each in found]


def in_use(before: Templates, after: Templates) -> Effect:
    (found,) = [each for each in effects(before, after) if each.kind == "in-use"]
    return found


def test_a_stack_that_does_without_an_export_is_deployed_first() -> None:
    before = {"network": stack(gives={"zone": "c"}), "data": stack(), "alarms": stack(takes=("zone",))}
    after = {"network": stack(), "data": stack(port=81), "alarms": stack()}
    assert first(before, after) == ["deploy alarms"]
    assert in_use(before, after).severity is Impact.DANGEROUS
    assert "infra change next" in in_use(before, after).procedure


def test_done_is_what_is_deployed() -> None:
    before = {"network": stack(gives={"zone": "c"}), "alarms": stack()}
    assert first(before, {"network": stack(), "alarms": stack()}) == []


def test_the_usual_order_needs_nothing_first() -> None:
    """The importer comes earlier, or nobody imports it."""
    before = {"alarms": stack(takes=("zone",)), "network": stack(gives={"zone": "c", "other": "d"})}
    assert first(before, {"alarms": stack(), "network": stack()}) == []


def test_a_stack_that_leaves_is_deleted_after_those_that_import_from_it_and_before_what_it_imports_goes() -> None:
    before = {
        "network": stack(gives={"access": "a"}),
        "site": stack(takes=("access",), gives={"group": "g"}),
        "edge": stack(),
        "alarms": stack(takes=("group",)),
    }
    after = {"network": stack(), "next": stack(), "edge": stack(port=81), "alarms": stack()}
    assert first(before, after) == ["deploy next", "deploy edge", "deploy alarms", "delete site"]


def test_what_serves_until_everything_else_is_deployed_is_not_deleted_before() -> None:
    """Nobody waits for it: it can go at any time, after the deployment."""
    before = {"network": stack(gives={"access": "a"}), "site": stack(takes=("access",))}
    assert first(before, {"network": before["network"]}) == []


def test_an_export_of_what_is_replaced_is_impossible_while_somebody_goes_on_importing_it() -> None:
    name = {"Fn::GetAtt": ["Group", "TargetGroupFullName"]}
    before = {"api": stack(gives={"name": name}), "alarms": stack(takes=("name",))}
    after = {"api": stack(gives={"name": name}, port=81), "alarms": stack(takes=("name",))}
    assert order(difference(before, after)).stuck == {"api", "alarms"}
    assert in_use(before, after).severity is Impact.IMPOSSIBLE
    (replaced,) = [each for each in effects(before, after) if each.kind == "replaced"]
    assert "`target_group_port = 80` beside `port`" in replaced.procedure


def test_two_stacks_that_each_wait_for_the_other_are_impossible() -> None:
    before = {"network": stack(gives={"old": "a"}), "alarms": stack(takes=("old",))}
    after = {"network": stack(gives={"new": "b"}), "alarms": stack(takes=("new",))}
    assert in_use(before, after).severity is Impact.IMPOSSIBLE
    assert StackStep("network", False) not in order(difference(before, after)).first
