"""CloudWatch's limits on a composite alarm's rule, of which its length binds first: ARNs are long."""

import pytest

from config import load
from template_policies import Graph
from template_policies.rules.alarms.composite_alarm_rules_are_valid import check


@pytest.mark.parametrize(
    ("alarms", "wrong"), [(59, ""), (90, "must have 10240 at most"), (100, "refers to 101 alarms")]
)
def test_a_rule_is_as_long_as_cloudwatch_takes(alarms: int, wrong: str) -> None:
    names = [f"ServicesApiHealthyTasks{number:08d}" for number in range(alarms)]
    asked = [part for name in names for part in ('ALARM("', {"Fn::GetAtt": [name, "Arn"]}, '") OR ')]
    rule = {"Fn::Join": ["", [*asked, 'ALARM("by-name")']]}
    users = {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmName": "users", "AlarmRule": rule}}
    resources = {name: {"Type": "AWS::CloudWatch::Alarm", "Properties": {}} for name in names}
    graph = Graph("dev", load(["dev"])["dev"], {"Observability": {"Resources": {**resources, "IncidentUsers": users}}})
    found = [each.message for each in check(graph)]
    assert any(wrong in each for each in found) if wrong else not found
