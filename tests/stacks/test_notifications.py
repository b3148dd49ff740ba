"""Messages arrive: topic and key let each publisher of each template through, and no stranger."""

import json
from typing import Any

import pytest

from config import available, load
from tests.publishers import SERVICES, STRANGER, Environment, contexts

Templates = dict[str, dict[str, Any]]


def environment(templates: Templates, name: str) -> Environment:
    return Environment(
        {where.partition("/")[2]: each for where, each in templates.items() if where.startswith(f"{name}/")}
    )


@pytest.mark.parametrize("name", available())
def test_every_publisher_reaches_its_topic(name: str, templates: Templates) -> None:
    account = load([name])[name].aws.account
    found = list(environment(templates, name).publishers())
    refused = {
        refusal
        for _, service, topic in found
        for context in contexts(service, account)
        if (refusal := topic.refusal(service, context))
    }
    assert refused == set()
    assert {service for _, service, _ in found} >= {"cloudwatch.amazonaws.com", "events.amazonaws.com"}


@pytest.mark.parametrize("name", available())
def test_a_stranger_reaches_none(name: str, templates: Templates) -> None:
    """A service that acts for another account: the confused deputy."""
    let_in = {
        (topic.name, service)
        for topic in environment(templates, name).topics.values()
        for service in set(SERVICES.values())
        for context in contexts(service, STRANGER)
        if topic.refusal(service, context) is None
    }
    assert let_in == set()


def test_the_four_kinds_of_publishers_are_there(templates: Templates) -> None:
    """The test above would silently skip a publisher that it does not find."""
    found = {service for _, service, _ in environment(templates, "production").publishers()}
    assert found == set(SERVICES.values())


@pytest.mark.parametrize("name", available())
def test_costs_are_found_by_the_tag_of_the_stacks(name: str, templates: Templates) -> None:
    """Cost Anomaly takes the plain key (CreateAnomalyMonitor), Budgets `user:` before it."""
    resources = {each["Type"]: each["Properties"] for each in templates[f"{name}/Observability"]["Resources"].values()}
    monitored = json.loads(resources["AWS::CE::AnomalyMonitor"]["MonitorSpecification"])
    assert monitored == {"Tags": {"Key": "environment", "Values": [name]}}
    filters = resources["AWS::Budgets::Budget"]["Budget"]["CostFilters"]
    assert filters == {"TagKeyValue": [f"user:environment${name}"]}
