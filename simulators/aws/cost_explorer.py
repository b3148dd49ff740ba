"""Cost Explorer, which a person has to open once in the console: AWS has no API for it (Cost Management user guide,
"Enabling Cost Explorer"), and Cost Anomaly Detection is a part of it ("Setting up your anomaly detection").

The words are reported for GetCostAndUsage, and for AWS::CE::AnomalyMonitor, whose stack rolls back.
"""

import json
import os
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_actions, router

from simulators.aws import CONSOLE
from simulators.aws.conditions import Condition, is_on

_SERVICE = "ce"
_REFUSAL = "User not enabled for cost explorer access"


def refusal() -> str | None:
    """Error of every call until Cost Explorer was opened."""
    is_off = is_on(Condition.COST_EXPLORER) and not Path(os.environ[CONSOLE], "cost-explorer").exists()
    return _REFUSAL if is_off else None


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    content = {"Content-Type": "application/x-amz-json-1.1"}
    if refused := refusal():
        wrong = {"__type": "AccessDeniedException", "Message": refused}
        return 400, content, json.dumps(wrong).encode()
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action != "GetCostAndUsage":
        wrong = {"__type": "ValidationException", "Message": f"{action} is not simulated"}
        return 400, content, json.dumps(wrong).encode()
    return 200, content, json.dumps({"ResultsByTime": [], "DimensionValueAttributes": []}).encode()


def install() -> None:
    app.SERVICE_HANDLERS[_SERVICE] = _handle
    router.SERVICE_PATTERNS[_SERVICE] = {"target_prefixes": ["AWSInsightsIndexService"], "host_patterns": []}
    # Otherwise MiniStack would allow every call.
    iam_actions.SERVICE_TO_IAM_NAMESPACE[_SERVICE] = _SERVICE
