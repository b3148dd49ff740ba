"""How one update of a stack has ended, by CloudFormation's own events: who announces an end can be mistaken, or lie."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.contract.releases import STACK_ENDS

NEVER_BEGUN = "CloudFormation never began it"
_STACK = "AWS::CloudFormation::Stack"
# An update shows its beginning within seconds; the function that starts one ends within minutes.
_BEGINS_WITHIN = timedelta(minutes=5)
_CLOCKS_DIFFER = timedelta(minutes=1)


def end_of(clients: Any, stack: str, *, token: str, began: datetime) -> str | None:
    """One of `STACK_ENDS`, for the update with this client request token; None while it goes on, or is about to begin.

    `NEVER_BEGUN` when there is none five minutes after `began`, the moment before it was asked for. Only the beginning
    has to carry the token: what ends the update is the next end among the stack's events.
    """
    end = None
    for page in clients.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:  # newest first
            if event["Timestamp"] < began - _CLOCKS_DIFFER:
                return _never_begun(began)
            if event["ResourceType"] != _STACK or event["LogicalResourceId"] != stack:
                continue
            status: str = event["ResourceStatus"]
            if status == "UPDATE_IN_PROGRESS":
                if event.get("ClientRequestToken") == token:
                    return end
                end = None  # that was the end of another, later update
            elif status in STACK_ENDS:
                end = status
    return _never_begun(began)


def _never_begun(began: datetime) -> str | None:
    return NEVER_BEGUN if datetime.now(UTC) - began > _BEGINS_WITHIN else None
