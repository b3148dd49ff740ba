"""Log groups as targets of EventBridge's rules, which MiniStack knows nothing of.

EventBridge user guide, "Amazon CloudWatch log groups as targets": the whole event is one log event.
"""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ministack.services import cloudwatch_logs, eventbridge

from simulators.aws.conditions import Condition, is_on
from simulators.aws.service_principals import stores

_own_invoke = eventbridge._invoke_target


def _invoke(target: Mapping[str, Any], event: Any, rule: Any, view: Any = None) -> None:
    arn = str(target.get("Arn", ""))
    if not arn.startswith("arn:aws:logs:"):
        _own_invoke(target, event, rule, view)
    elif not is_on(Condition.IAM) or all(stores(arn)):
        view = view or eventbridge._pattern_event_view(event)
        stream = {"logGroupName": arn.split(":log-group:")[1].removesuffix(":*"), "logStreamName": str(uuid4())}
        entry = {"timestamp": int(time.time() * 1000), "message": json.dumps(view.event_with_detail())}
        cloudwatch_logs._create_log_stream(stream)
        cloudwatch_logs._put_log_events({**stream, "logEvents": [entry]})


def install() -> None:
    eventbridge._invoke_target = _invoke
