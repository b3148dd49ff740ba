"""A site comes back from Amplify to ECS: DNS leads users there when something was released, and not before."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.contract.revision import SERVICE
from infra_runtime.release.ledger import Ledger, Outcome, Release, new_id
from ops.change import steps
from ops.doctor.deployed import of_effects
from ops.doctor.unreleased import unreleased
from ops.effects import effects
from ops.effects.template import Template, Templates
from tests.runtime.release.aws import IMAGE, OLD, Dynamo

CREATED = datetime(2026, 11, 26, 12, tzinfo=UTC)
EXCLUSIVELY = "npx cdk deploy -c env=dev --exclusively"


def edge(leads_to: str) -> Template:
    records = [
        {"name": "api", "host": "api.example.com", "content": "balancer"},
        {"name": "site", "host": "example.com", "content": leads_to},
    ]
    document = json.dumps({"kind": "records", "records": records})
    return {"Resources": {"Names": {"Type": "Custom::Cloudflare", "Properties": {"Document": document}}}}


REGISTRY: Template = {"Resources": {"Ledger": {"Type": "AWS::DynamoDB::Table", "Properties": {}}}}
DELIVERY: Template = {"Resources": {"Control": {"Type": "AWS::Lambda::Function", "Properties": {}}}}
SITE: Template = {"Resources": {SERVICE: {"Type": "AWS::ECS::Service", "Properties": {}}}}
EMPTY: Template = {"Resources": {}}


def environment(leads_to: str, **more: Template) -> Templates:
    stacks = {"registry": REGISTRY, **more, "edge": edge(leads_to)}
    return {f"shop-dev-{name.replace('_', '-')}": each for name, each in stacks.items()}


ON_AMPLIFY = {**environment("d1.cloudfront.net", site_amplify=EMPTY), "shop-dev-delivery": EMPTY}
ON_ECS = {**environment("balancer", site=SITE), "shop-dev-delivery": DELIVERY}


@dataclass
class Account:
    exists: bool
    """Whether the service's stack exists."""
    dynamo: Dynamo = field(default_factory=Dynamo)

    def released(self, began: datetime, outcome: Outcome) -> None:
        ledger = Ledger(self.dynamo, "ledger")
        release = Release(
            service="site", id=new_id(began, f"{len(self.dynamo.items):06}"), kind="release", image=IMAGE, previous=OLD,
            who="somebody", began=began.isoformat(timespec="seconds"), template="t",
        )  # fmt: skip
        ledger.begin(release)
        ledger.end("site", release.id, outcome=outcome, when="later", reason=None)

    def client(self, service: str) -> Any:
        return self.dynamo if service == "dynamodb" else self

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, *, StackName: str) -> Any:  # noqa: N803
        if StackName == "shop-dev-site" and not self.exists:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "ListStackResources")
        kind = {"shop-dev-site": "AWS::ECS::Service", "shop-dev-registry": "AWS::DynamoDB::Table"}[StackName]
        found = {"ResourceType": kind, "LogicalResourceId": SERVICE, "PhysicalResourceId": "service/one/site"}
        return [{"StackResourceSummaries": [found]}]

    def describe_services(self, **_: Any) -> Any:
        return {"services": [{"createdAt": CREATED}]}


def commands(before: Templates, account: Account) -> list[str]:
    return [each.command for each in steps("dev", "shop", before, ON_ECS, account)]


def stopped(before: Templates, account: Account) -> list[str]:
    found = effects(before, ON_ECS)
    every = of_effects(account, found, ON_ECS, [each.name for each in found])
    return [each.what for each in every if "placeholder" in each.why]


def test_dns_moves_back_from_amplify_after_the_services_first_release() -> None:
    release = "./infra release dev --service site --image REPOSITORY@sha256:…"
    delete = "aws cloudformation delete-stack --stack-name shop-dev-site-amplify && "
    delete += "aws cloudformation wait stack-delete-complete --stack-name shop-dev-site-amplify"
    account = Account(exists=False)
    first = f"{EXCLUSIVELY} dev/Site dev/Delivery"
    assert commands(ON_AMPLIFY, account) == [first, release, "make deploy ENV=dev", delete]
    deployed = {**ON_AMPLIFY, "shop-dev-site": SITE, "shop-dev-delivery": DELIVERY}
    account.exists = True
    assert commands(deployed, account) == [release, "make deploy ENV=dev", delete]
    account.released(CREATED + timedelta(minutes=10), "succeeded")
    assert commands(deployed, account) == ["make deploy ENV=dev", delete]
    assert commands({**ON_ECS, "shop-dev-site-amplify": EMPTY}, account) == [delete]


@pytest.mark.parametrize(
    ("after", "outcome", "waits"),
    [
        (timedelta(minutes=10), "succeeded", False),
        (timedelta(minutes=10), "failed", True),
        # The service from before Amplify: its stack is deleted, and its image pointer was created again.
        (-timedelta(days=9), "succeeded", True),
    ],
)
def test_a_deployment_waits_for_the_first_release(after: timedelta, outcome: Outcome, *, waits: bool) -> None:
    """Acknowledgements make no difference."""
    deployed, account = {**ON_AMPLIFY, "shop-dev-site": SITE, "shop-dev-delivery": DELIVERY}, Account(exists=True)
    account.released(CREATED + after, outcome)
    (effect,) = [each for each in effects(deployed, ON_ECS) if each.kind == "leads"]
    assert stopped(deployed, account) == ([f"Names {effect.what}"] if waits else [])


def test_a_name_that_leads_to_another_host_of_ours_waits_for_no_service_of_that_host() -> None:
    """The effect's sentence names both hosts."""

    def names(api: str) -> Templates:
        records = [
            {"name": "api", "host": "api.example.com", "content": api},
            {"name": "site", "host": "example.com", "content": "balancer"},
        ]
        document = json.dumps({"kind": "records", "records": records})
        made = {"Names": {"Type": "Custom::Cloudflare", "Properties": {"Document": document}}}
        return {**ON_ECS, "shop-dev-edge": {"Resources": made}}

    before, after = names("balancer"), names("example.com")
    assert list(unreleased(Account(exists=True), effects(before, after), after)) == []


def test_a_move_to_amplify_needs_no_release() -> None:
    found = effects(ON_ECS, ON_AMPLIFY)
    assert "leads" in {each.kind for each in found}
    every = of_effects(Account(exists=True), found, ON_AMPLIFY, [each.name for each in found])
    assert [each for each in every if "placeholder" in each.why] == []
