"""AWS::CloudWatch::CompositeAlarm, by the API, which MiniStack has; and its refusals."""

import re
from typing import Any
from uuid import uuid4

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register

_CHILD = re.compile(r'ALARM\("([^"]+)"\)')
# CloudWatch API Reference, PutCompositeAlarm.
_MOST_CHARACTERS = 10240


class _CompositeAlarm:
    name = "AWS::CloudWatch::CompositeAlarm"

    def create(self, properties: Properties) -> Provisioned:
        return self._put(properties.get("AlarmName") or f"composite-{uuid4().hex[:12]}", properties)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self._put(physical_id, new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("cloudwatch").delete_alarms(AlarmNames=[physical_id])

    @staticmethod
    def _put(name: str, properties: Properties) -> Provisioned:
        if len(properties["AlarmRule"]) > _MOST_CHARACTERS:
            raise ResourceRefused(
                "1 validation error detected: Value at 'alarmRule' failed to satisfy constraint: Member must have "
                f"length less than or equal to {_MOST_CHARACTERS}"
            )
        children = {child.rpartition(":alarm:")[2] or child for child in _CHILD.findall(properties["AlarmRule"])}
        known: set[str] = set()
        for page in (
            client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        ):
            known |= {each["AlarmName"] for kind in ("MetricAlarms", "CompositeAlarms") for each in page[kind]}
        if missing := children - known:
            raise ResourceRefused(
                f"Could not save the composite alarm as alarms {sorted(missing)} in the alarm rule do not exist"
            )
        given: dict[str, Any] = {key: value for key, value in properties.items() if key not in ("AlarmName", "Tags")}
        for key in ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
            if key in given:
                given[key] = int(given[key])
        client("cloudwatch").put_composite_alarm(AlarmName=name, **given)
        # MiniStack drops it.
        cloudwatch._composite_alarms[name] |= {key: given[key] for key in given if key.startswith("ActionsSuppressor")}
        arn = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"
        return Provisioned(name, {"Arn": arn})


def install() -> None:
    register(_CompositeAlarm())
