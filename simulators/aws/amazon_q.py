"""Which messages of a topic Amazon Q Developer shows in Slack; it silently drops all others.

By its administrator guide: alarms of CloudWatch and alerts of AWS Budgets ("Monitoring AWS services"), and custom
notifications ("Custom notifications", event schema). By the Cost Management user guide: anomalies ("Detecting unusual
spend with AWS Cost Anomaly Detection").
"""

import json
from collections.abc import Mapping
from typing import Any

# What an alarm, and an anomaly, has in any case: CloudWatch user guide, "Acting on alarm changes"; Cost Management
# user guide, "Getting started with AWS Cost Anomaly Detection", the message of a topic.
_ALARM = {"AlarmName", "AlarmArn", "NewStateValue", "Region", "AWSAccountId"}
_ANOMALY = {"accountId", "anomalyId", "anomalyDetailsLink", "impact", "monitorArn", "rootCauses"}
# The lines of the plain text in `simulators.aws.cost_messages`.
_BUDGET = ("AWS Budget Notification ", "\nBudget Name: ", "\nBudget Type: ", "\nAlert Type: ", "\nAlert Threshold: ")
_TOP = {"version", "source", "id", "content", "metadata"}
_CONTENT = {"textType", "title", "description", "nextSteps", "keywords"}
_METADATA = {"threadId", "summary", "eventType", "relatedResources", "additionalContext"}


def objection(message: str) -> str | None:
    """The reason why a message is dropped; None if it is shown."""
    try:
        found = json.loads(message)
    except ValueError:
        is_budget = message.startswith(_BUDGET[0]) and all(each in message for each in _BUDGET)
        return None if is_budget else "neither JSON nor an alert of AWS Budgets"
    if not isinstance(found, Mapping):
        return "a bare sentence" if isinstance(found, str) else "not an object"
    if set(found) >= _ALARM or set(found) >= _ANOMALY:
        return None
    return _custom(found)


def _custom(found: Mapping[str, Any]) -> str | None:
    if found.get("version") != "1.0" or found.get("source") != "custom":
        return "neither an alarm, nor an anomaly, nor version 1.0 of a custom notification"
    content = found.get("content", {})
    unknown = set(found) - _TOP | set(content) - _CONTENT | set(found.get("metadata", {})) - _METADATA
    if unknown:
        return f"unknown fields {sorted(unknown)}"
    if not isinstance(content.get("description"), str) or not content["description"]:
        return "no description"
    if content.get("textType", "client-markdown") != "client-markdown":
        return "a text type that is not supported"
    lists = [content.get("nextSteps", []), content.get("keywords", [])]
    if not all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in lists):
        return "nextSteps and keywords are lists of strings"
    return None if isinstance(content.get("title", ""), str) else "the title is no string"
