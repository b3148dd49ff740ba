"""docs/alarms.md: the list of all alarms, from synthesized templates. `make accept` writes it (tools/alarms_doc.py)."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "alarms.md"
ENVIRONMENT = "production"
_ORDER = ("CRITICAL", "WARNING", "INFO")
_DESCRIPTION = re.compile(
    r"(CRITICAL|WARNING|INFO): (.+?)(?: Threshold: (.+?)\.)? Runbook: \S*docs/runbooks/([a-z-]+)\.md"
)
_HEAD = f"""# Alarms

Written by `make accept` from the templates of {ENVIRONMENT}. "By the incident": the alarm itself pages no one, but
becomes part of the incident that does ([ADR 16](adr/0016-one-incident-one-page.md)).

| severity | what users notice | when | runbook |
| --- | --- | --- | --- |
"""


def page(templates: Mapping[str, Mapping[str, Any]]) -> str:
    """`templates` by "environment/Stack"."""
    lines = set()
    for stack, template in templates.items():
        if not stack.startswith(f"{ENVIRONMENT}/"):
            continue
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            text = properties.get("AlarmDescription") or properties.get("Description")
            # Alarms without actions are windows of an objective, whose composite alarm notifies.
            notifies = bool(properties.get("AlarmActions")) or "AlarmDescription" not in properties
            if notifies and isinstance(text, str) and (says := _DESCRIPTION.match(text)):
                lines.add((_ORDER.index(says[1]), says[4], _line(resource["Type"], properties, says)))
    return _HEAD + "".join(line for _, _, line in sorted(lines))


def _line(kind: str, properties: Mapping[str, Any], says: re.Match[str]) -> str:
    when = says[3] or {"AWS::CloudWatch::CompositeAlarm": "any of its alarms"}.get(kind, "an event of AWS")
    by = ""
    if says[1] == "CRITICAL" and "Info" in json.dumps(properties.get("AlarmActions", [])):
        by = ", by the incident"
    return f"| {says[1].lower()}{by} | {says[2]} | {when} | [{says[4]}](runbooks/{says[4]}.md) |\n"
