"""Alarm messages as CloudWatch sends them: MiniStack omits the ARN, and gives composite alarms a metric.

By the CloudWatch user guide, "Acting on alarm changes": the schemas of metric and composite alarms.
"""

import json
from typing import Any

from ministack.services import cloudwatch, sns


def install() -> None:
    own = sns._fanout
    alarms: dict[str, dict[str, Any]] = {}

    def dispatch(alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
        alarms[alarm["AlarmName"]] = alarm
        dispatch_own(alarm, old, new, reason)

    def fanout(topic: str, identity: str, message: str, subject: str, *rest: Any, **options: Any) -> Any:
        return own(topic, identity, _completed(message, alarms), subject, *rest, **options)

    dispatch_own = cloudwatch._dispatch_alarm_actions
    cloudwatch._dispatch_alarm_actions, sns._fanout = dispatch, fanout


def _completed(message: str, alarms: dict[str, dict[str, Any]]) -> str:
    try:
        found = json.loads(message)
    except ValueError:
        return message
    if not isinstance(found, dict) or "NewStateValue" not in found or found.get("AlarmName") not in alarms:
        return message
    alarm = alarms[found["AlarmName"]]
    found["AlarmArn"] = alarm["AlarmArn"]
    if "AlarmRule" in alarm:
        del found["Trigger"]
        found |= {"AlarmRule": alarm["AlarmRule"], "TriggeringChildren": []}
    return json.dumps(found)
