"""FilterLogEvents as CloudWatch Logs answers it: each event has an id, and a phrase in double quotes is one.

API Reference, FilteredLogEvent; guide, "Filter pattern syntax for metric filters, subscription filters, and filter log
events": double quotes around a term match it exactly, spaces and punctuation included.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ministack.services import cloudwatch_logs

_own = cloudwatch_logs._filter_log_events


def _filtered(request: Mapping[str, Any]) -> Any:
    pattern = str(request.get("filterPattern") or "").strip()
    is_phrase = len(pattern) > 2 and pattern[0] == pattern[-1] == '"'
    answered = _own({**request, "filterPattern": ""} if is_phrase else request)
    if answered[0] != 200:
        return answered
    document = json.loads(answered[2])
    phrase = pattern[1:-1].replace('\\"', '"').replace("\\\\", "\\") if is_phrase else ""
    events = [each for each in document["events"] if phrase in each["message"]]
    document["events"] = [{**each, "eventId": _identity(each)} for each in events]
    return answered[0], answered[1], json.dumps(document).encode()


def _identity(event: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()[:56]


def install() -> None:
    cloudwatch_logs._filter_log_events = _filtered
