"""Every notification leads to a runbook, and to the errors where there are any."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.templates import of_type

Templates = dict[str, dict[str, Any]]
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"


def alarms(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, alarm in of_type(templates, "AWS::CloudWatch::Alarm"):
        yield where, alarm["Properties"]


def composites(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, alarm in of_type(templates, "AWS::CloudWatch::CompositeAlarm"):
        yield where, alarm["Properties"]


def runbooks(templates: Templates) -> set[str]:
    """Runbooks of everything that notifies people: alarms, composites, forwarded events, budgets."""
    messages = [each["AlarmDescription"] for _, each in [*alarms(templates), *composites(templates)]]
    messages += [each["Properties"].get("Description", "") for _, each in of_type(templates, "AWS::Events::Rule")]
    for kind in ("AWS::Budgets::Budget", "AWS::CE::AnomalySubscription"):
        messages += [each["Metadata"]["runbook"] for _, each in of_type(templates, kind)]
    return {found[1] for text in messages if (found := re.search(r"docs/runbooks/([a-z-]+)\.md", text))}


def test_every_alarm_has_a_runbook_and_every_runbook_an_alarm(templates: Templates, every_redis: Templates) -> None:
    written = {path.stem for path in RUNBOOKS.glob("*.md") if path.read_text().startswith("# Alarm: ")}
    assert runbooks(templates) | runbooks(every_redis) == written
    for where, alarm in [*alarms(templates), *composites(templates)]:
        link = r"Runbook: https://github\.com/daadaar/infrastructure/blob/HEAD/docs/runbooks/[a-z-]+\.md"
        assert re.search(link, alarm["AlarmDescription"]), where
        assert len(alarm["AlarmDescription"]) <= 1024, "CloudWatch API Reference, PutMetricAlarm"


def test_an_alarm_names_where_its_errors_are(templates: Templates) -> None:
    linked = [each for where, each in alarms(templates) if where.startswith("production/") and "sentry.io" in str(each)]
    assert {re.search(r"runbooks/([a-z-]+)", each["AlarmDescription"])[1] for each in linked} == {  # type: ignore[index]
        "service-errors",
        "service-latency",
    }
