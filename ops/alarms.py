"""`infra alarms`: firing alarms and their runbooks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from config import available
from infra_runtime.contract.names import stack_name
from ops.functions import Clients

DESCRIPTION = re.compile(r"(?P<severity>[A-Z]+): (?P<means>.*?) Runbook: (?P<runbook>\S+)", re.DOTALL)
"""Description of an alarm, as `infra_constructs.alarms` writes it."""
_SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, kw_only=True)
class FiringAlarm:
    severity: str
    """critical, warning or info."""
    alarm: str
    since: str
    """ISO 8601, start of the alarm."""
    means: str
    """What users notice, and the threshold."""
    runbook: str
    """Address, or path in this repository."""


def firing(clients: Clients, product: str, name: str) -> list[FiringAlarm]:
    """Firing alarms of the environment `name`, most severe first.

    Leaves out alarms without actions, which are parts of others: the long window of an error budget fires for an hour
    after the fault.
    """
    found = [
        FiringAlarm(
            severity=described["severity"].lower(),
            alarm=each["AlarmName"],
            since=each.get("StateTransitionedTimestamp", each["StateUpdatedTimestamp"]).isoformat(timespec="seconds"),
            means=described["means"],
            runbook=described["runbook"],
        )
        for each, described in _ours(clients, product, name, StateValue="ALARM")
        if each["AlarmActions"]
    ]
    return sorted(found, key=lambda each: (_SEVERITIES.index(each.severity), each.since))


def names(clients: Clients, product: str, name: str) -> list[str]:
    """Names of all alarms of the environment `name`."""
    return sorted(each["AlarmName"] for each, _ in _ours(clients, product, name))


def _ours(clients: Clients, product: str, name: str, **state: str) -> Iterator[tuple[dict[str, Any], "re.Match[str]"]]:
    """Each alarm with its parsed description. Leaves out others' alarms, like autoscaling's."""
    prefix = stack_name(product, name, "")
    # Another environment's name may begin with this one's.
    others = tuple(stack_name(product, other, "") for other in available() if other.startswith(f"{name}-"))
    pages = (
        clients.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"], **state)
    )
    for page in pages:
        for each in [*page["MetricAlarms"], *page["CompositeAlarms"]]:
            parsed = DESCRIPTION.match(each.get("AlarmDescription", ""))
            if parsed is not None and not each["AlarmName"].startswith(others):
                yield each, parsed
