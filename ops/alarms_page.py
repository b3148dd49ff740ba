"""docs/alarms.md: the list of all alarms, from synthesized templates. `make accept` writes it (tools/alarms_doc.py)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.alarms import DESCRIPTION

PAGE = Path(__file__).resolve().parents[1] / "docs" / "alarms.md"
ENVIRONMENT = "production"
_ORDER = ("CRITICAL", "WARNING", "INFO")
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
            if notifies and isinstance(text, str) and (says := DESCRIPTION.match(text)):
                severity, runbook = says["severity"], Path(says["runbook"]).stem
                line = _line(resource["Type"], properties, severity, says["means"], runbook)
                lines.add((_ORDER.index(severity), runbook, line))
    return _HEAD + "".join(line for _, _, line in sorted(lines))


def _line(kind: str, properties: Mapping[str, Any], severity: str, means: str, runbook: str) -> str:
    means, _, threshold = means.partition(" Threshold: ")
    event = "any of its alarms" if kind == "AWS::CloudWatch::CompositeAlarm" else "an event of AWS"
    by = ""
    if severity == "CRITICAL" and "Info" in json.dumps(properties.get("AlarmActions", [])):
        by = ", by the incident"
    when = threshold.removesuffix(".") or event
    return f"| {severity.lower()}{by} | {means} | {when} | [{runbook}](runbooks/{runbook}.md) |\n"
