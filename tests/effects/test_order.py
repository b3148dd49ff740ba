"""The order of changes to stacks when one still imports what another no longer exports."""

from collections.abc import Mapping
from typing import Any

from ops.effects import Effect, Impact, effects
from ops.effects.changes import difference
from ops.effects.order import StackStep, order
from ops.effects.template import Template, Templates


def stack(*, gives: Mapping[str, Any] = {}, takes: tuple[str, ...] = (), port: int = 80) -> Template:
    """A template with a target group, exports, and a queue whose properties hold the imports."""
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


def test_a_stack_that_stops_importing_is_deployed_before_the_exporter() -> None:
    before = {"network": stack(gives={"zone": "c"}), "data": stack(), "alarms": stack(takes=("zone",))}
    after = {"network": stack(), "data": stack(port=81), "alarms": stack()}
    assert first(before, after) == ["deploy alarms"]
    assert in_use(before, after).severity is Impact.DANGEROUS
    assert "infra change next" in in_use(before, after).procedure


def test_an_import_that_is_already_removed_needs_no_step() -> None:
    before = {"network": stack(gives={"zone": "c"}), "alarms": stack()}
    assert first(before, {"network": stack(), "alarms": stack()}) == []


def test_no_step_is_needed_if_the_importer_is_deployed_earlier_anyway() -> None:
    """The importing stack is deployed earlier, or no stack imports it."""
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


def test_a_stack_that_still_serves_is_not_deleted_first() -> None:
    """No stack depends on its deletion, so it can be deleted after the deployment."""
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
