"""Metrics by way of the log: CloudWatch reads this format out of it (embedded metric format), at no call's cost."""

import json
import time
from collections.abc import Mapping
from typing import Any

EDGE, REDIS = "Infra/Edge", "Infra/Redis"
# By the end of a metric's name, as CloudWatch calls it; whatever ends otherwise is counted.
_UNITS = {"Milliseconds": "Milliseconds", "Percent": "Percent", "Bytes": "Bytes"}


def emit(namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float], **told: Any) -> None:
    """One data point for each name, now. What is `told` besides is in the log only, for whoever reads it."""
    print(  # noqa: T201  (standard output is where CloudWatch looks for it)
        json.dumps(
            {
                "_aws": {
                    "Timestamp": int(time.time() * 1000),
                    "CloudWatchMetrics": [
                        {
                            "Namespace": namespace,
                            "Dimensions": [list(dimensions)],
                            "Metrics": [{"Name": name, "Unit": _unit(name)} for name in values],
                        }
                    ],
                },
                **told,
                **dimensions,
                **values,
            }
        ),
        flush=True,
    )


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "Count")
