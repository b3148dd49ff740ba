"""How one stack update ended, from CloudFormation's own events: the caller that reports an end may be wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.contract.releases import STACK_ENDS

NEVER_BEGUN = "CloudFormation never began it"
_STACK = "AWS::CloudFormation::Stack"
# An update's first event comes within seconds; the function that starts one ends within minutes.
_BEGINS_WITHIN = timedelta(minutes=5)
_CLOCKS_DIFFER = timedelta(minutes=1)


def end_of(clients: Any, stack: str, *, token: str, began: datetime) -> str | None:
    """One of `STACK_ENDS`, for the update with this client request token; None while it runs, or is about to begin.

    `NEVER_BEGUN` if there is no event five minutes after `began`, the time just before the request. Only the first
    event needs the token: the next end among the stack's events is the update's.
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
                end = None  # the end of a later update
            elif status in STACK_ENDS:
                end = status
    return _never_begun(began)


def _never_begun(began: datetime) -> str | None:
    return NEVER_BEGUN if datetime.now(UTC) - began > _BEGINS_WITHIN else None
