"""Sends stack events to EventBridge, as CloudFormation does and MiniStack does not."""

import json
from typing import Any

from ministack.services import eventbridge
from ministack.services.cloudformation import stacks

_STACK = "AWS::CloudFormation::Stack"


def install() -> None:
    own = stacks._add_event

    def add(stack_id: str, stack_name: str, logical_id: str, kind: str, *state: Any, **options: Any) -> None:
        own(stack_id, stack_name, logical_id, kind, *state, **options)
        if kind != _STACK or logical_id != stack_name:
            return
        status, reason = (*state, "")[:2]
        detail = {
            "stack-id": stack_id,
            "status-details": {"status": status, "status-reason": reason},
            "client-request-token": stacks.CLIENT_REQUEST_TOKEN.get(),
        }
        entry = {
            "Source": "aws.cloudformation",
            "DetailType": "CloudFormation Stack Status Change",
            "Detail": json.dumps(detail),
            "Resources": [stack_id],
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    stacks._add_event = add
