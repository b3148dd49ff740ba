"""Fields that Cloudflare, or a person, has added to objects of ours: reported, never drift, never written over."""

import io
import json
from typing import Any

import boto3
import pytest

from config import load
from infra_runtime.cloudflare.converge import Change, Observed, undeclared_fields
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.edge_drift import compare, log_lines
from infra_runtime.state_store import SsmStateStore
from ops.console import Console
from ops.edge.commands import drifts, report
from ops.edge.zone import EdgeOf
from tests.runtime.cloudflare.test_ownership import CACHE, cache_rule, policy, records, rules
from tests.runtime.conftest import Edge, FakeSecretsManager


class Parameters:
    """Systems Manager with the declarations' parameters."""

    def __init__(self, edge: Edge) -> None:
        self._values = edge.store.values

    def get_paginator(self, _: str) -> "Parameters":
        return self

    def paginate(self, *, Path: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803  (boto3's name)
        found = {f"/store/{key}": value for key, value in self._values.items()}
        under = {name: value for name, value in found.items() if name.startswith(Path)}
        return [{"Parameters": [{"Name": name, "Value": json.dumps(value)} for name, value in under.items()]}]


def lines(edge: Edge) -> list[dict[str, Any]]:
    store = SsmStateStore(Parameters(edge), "/store")
    return list(log_lines(compare(edge.api(), Secrets(FakeSecretsManager({})), store)))


@pytest.fixture
def deployed(edge: Edge) -> Edge:
    """A rule, a record and a notification with fields that another person has added."""
    for document in (rules(cache_rule("a")), records(api="alb.example.net"), policy("a@example.com")):
        edge.ask("Create", document)
    assert lines(edge) == []
    (rule,) = [each for each in edge.zone.rulesets[CACHE]["rules"] if each["ref"] == "production.a"]
    rule["action_parameters"]["edge_ttl"]["respect_strong_etags"] = True
    (record,) = [each for each in edge.zone.records.values() if each["name"] == "api.example.com"]
    record |= {"tags": ["team:web"], "settings": {"flatten_cname": False, "ipv4_only": False}}
    (mine,) = [each for each in edge.world.policies.values() if each["description"] == "production.ddos"]
    mine["mechanisms"]["pagerduty"] = [{"id": "p"}]
    return edge


RULE = f"rule production.a ({CACHE})"
UNDECLARED = {
    RULE: ["action_parameters.edge_ttl.respect_strong_etags"],
    "record production.dns.api (CNAME api.example.com)": ["tags"],
    "notification production.ddos": ["mechanisms.pagerduty"],
}


def test_the_function_logs_one_line_for_each_object_and_no_drift(deployed: Edge) -> None:
    output = lines(deployed)
    assert {each["what"]: each["undeclared"] for each in output} == UNDECLARED
    assert len(output) == len(UNDECLARED)
    assert not any("drift" in each for each in output)


def test_a_deployment_leaves_them_alone(deployed: Edge) -> None:
    physical_id = f"{deployed.zone.id}/production/rules/{CACHE}"
    assert deployed.writes(lambda: deployed.ask("Update", rules(cache_rule("a")), physical_id)) == []


class Reads:
    """A subject that returns the given objects, read by read."""

    def __init__(self, *reads: list[str]) -> None:
        self._reads = iter(reads)

    def changes(self, *, present: bool) -> list[Change]:
        return []

    def observed(self) -> list[Observed]:
        return [Observed("rule a", is_ours=True, value={}, undeclared=next(self._reads))]


def test_only_what_two_reads_show_is_reported() -> None:
    changing = Reads(["kept", "gone"], ["kept", "new"])
    assert undeclared_fields(changing, changing.observed()) == {"rule a": ["kept"]}
    fleeting = Reads(["gone"], [])
    assert undeclared_fields(fleeting, fleeting.observed()) == {}


@pytest.mark.parametrize("as_json", [True, False])
def test_the_operator_reads_one_line_for_each_object_and_exit_code_0(
    deployed: Edge, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    environment = load()["production"]
    domains = environment.domains.model_copy(update={"zone": "example.com"})
    edge = EdgeOf(
        name="production",
        environment=environment.model_copy(update={"domains": domains}),
        session=boto3.Session(region_name="eu-central-1"),
        api=deployed.api(),
        secrets=Secrets(FakeSecretsManager({})),
        store=SsmStateStore(Parameters(deployed), "/store"),
    )
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    report(edge, list(drifts(edge)), console, "has drifted", as_json=as_json)  # raises nothing
    if as_json:
        printed = json.loads(capsys.readouterr().out)
        assert {what: paths for each in printed.values() for what, paths in each["undeclared"].items()} == UNDECLARED
        assert [each["changes"] for each in printed.values()] == [[], [], []]
    else:
        first, *others = shown.getvalue().splitlines()
        assert "nothing has drifted" in first
        assert sorted(others) == sorted(
            f"for information: {what} has fields that are not declared: {', '.join(paths)}"
            for what, paths in UNDECLARED.items()
        )


def test_a_foreign_object_in_the_way_is_named(edge: Edge) -> None:
    """It counts as a missing object; the alarm on those leads to these lines."""
    edge.ask("Create", records(api="alb.example.net"))
    (identity,) = [key for key, each in edge.zone.records.items() if each["name"] == "api.example.com"]
    edge.zone.records[identity] |= {"type": "A", "content": "192.0.2.1", "comment": "by hand"}
    (line,) = lines(edge)
    assert line["drift"] == "records/dns"
    assert "api.example.com" in line["conflict"]
