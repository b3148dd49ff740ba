"""What Amazon Q shows in Slack: alarms, costs' messages, custom notifications; nothing else."""

import json

import pytest

from infra_runtime.contract.notification import custom
from simulators.aws.amazon_q import objection
from simulators.aws.cost_messages import ANOMALY, BUDGET

ALARM = dict.fromkeys(("AlarmName", "AlarmArn", "NewStateValue", "Region", "AWSAccountId", "AlarmRule"), "x")


@pytest.mark.parametrize("message", [BUDGET, ANOMALY, json.dumps(ALARM), json.dumps(custom("Title", "Text."))])
def test_messages_in_the_documented_formats_are_displayed(message: str) -> None:
    assert objection(message) is None


@pytest.mark.parametrize(
    "message",
    [
        "WARNING: the database has failed over.",
        json.dumps("WARNING: the database has failed over."),
        "AWS Budget Notification",
        json.dumps({"anomalyId": "a1"}),
        json.dumps({**ALARM, "NewStateValue": "ALARM"}).replace("AlarmArn", "Arn"),
        json.dumps({**custom("Title", "Text."), "severity": "high"}),
        json.dumps(custom("Title", "")),
    ],
)
def test_everything_else_is_dropped(message: str) -> None:
    assert objection(message) is not None
