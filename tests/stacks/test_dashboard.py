"""The dashboard: what is on it exists, users come first, and it fits the page."""

import json
from typing import Any

import pytest

from config import available
from infra_constructs.metrics import KNOWN
from infra_runtime.contract.metrics import RELEASES, ReleaseMetric
from simulators.aws.cloudwatch.alarms import text_of

Templates = dict[str, dict[str, Any]]
# Metrics that are shown but have no alarm.
_SHOWN = {(RELEASES, each.value) for each in ReleaseMetric}


def widgets(templates: Templates, name: str) -> list[dict[str, Any]]:
    resources = templates[f"{name}/Observability"]["Resources"].values()
    (dashboard,) = [each for each in resources if each["Type"] == "AWS::CloudWatch::Dashboard"]
    found: list[dict[str, Any]] = json.loads(text_of(dashboard["Properties"]["DashboardBody"]))["widgets"]
    return found


@pytest.mark.parametrize("name", available())
def test_every_metric_on_it_is_published(name: str, templates: Templates) -> None:
    shown = {
        (entry[0], entry[1])
        for widget in widgets(templates, name)
        for entry in widget["properties"].get("metrics", [])
        if isinstance(entry[0], str)
    }
    assert len(shown) > 20
    assert shown <= set(KNOWN) | _SHOWN


@pytest.mark.parametrize("name", available())
def test_the_dashboard_begins_with_users_and_fits_the_page(name: str, templates: Templates) -> None:
    found = widgets(templates, name)
    titles = [each["properties"].get("title", "") for each in found]
    order = ["Incident", "Checks from outside: failed", "Requests at the load balancer", "CPU of the tasks, %"]
    order += ["Database: CPU, %", "Redis: ping, ms"]
    assert [titles.index(each) for each in order] == sorted(titles.index(each) for each in order)
    assert all(each["x"] + each["width"] <= 24 for each in found)
    taken = [
        (each["x"] + dx, each["y"] + dy)
        for each in found
        for dx in range(each["width"])
        for dy in range(each["height"])
    ]
    assert len(taken) == len(set(taken)), "widgets lie over each other"


def test_releases_are_marked_where_users_are(templates: Templates) -> None:
    marked = [
        widget["properties"]["title"]
        for widget in widgets(templates, "production")
        if '"Infra/Releases"' in json.dumps(widget)
    ]
    assert {"Checks from outside: failed", "5xx at the edge, %", "Requests at the load balancer"} <= set(marked)
