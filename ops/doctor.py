"""What stands against deploying an environment now, though nothing in its code is wrong."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from config.model import Environment
from infra_runtime.release.preflight import release_alarms, service_of
from ops.functions import Clients
from ops.releases.place import Place, services_of
from ops.report import report
from ops.templates import synthesized

_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
# Another logical id is another one, empty.
_STATEFUL = (
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::ECR::Repository",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::ElastiCache::ReplicationGroup",
)
_AT_REST = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
Template = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    where: str
    what: str
    todo: str


def examine(name: str, environment: Environment, clients: Clients) -> Iterator[Problem]:
    """Raises what boto3 raises, and `OperatorError` when the code cannot be synthesized."""
    wanted = synthesized(name)
    deployed = {stack: found for stack in wanted if (found := _deployed(clients, stack)) is not None}
    for stack, (status, template) in deployed.items():
        if status not in _AT_REST:
            yield Problem(stack, f"is {status}", "wait, or bring it to rest in CloudFormation's console")
        yield from _frozen_rules(stack, template, wanted[stack])
        yield from _lost(stack, template, wanted[stack])
        yield from _exports(clients, stack, template, wanted[stack])
    for service in services_of(environment):
        place = Place(name, environment, service, clients)
        if place.stack in deployed:
            yield from _service(place)


def _deployed(clients: Clients, stack: str) -> tuple[str, Template] | None:
    cloudformation = clients.client("cloudformation")
    try:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    body = cloudformation.get_template(StackName=stack)["TemplateBody"]
    return status, json.loads(body) if isinstance(body, str) else body


def _frozen_rules(stack: str, before: Template, after: Template) -> Iterator[Problem]:
    """ECS has moved their weights; any change of the rule puts back the template's (docs/adr/0004)."""
    new = after["Resources"]
    for logical_id, rule in before["Resources"].items():
        if rule["Type"] == _RULE and new.get(logical_id, {}).get("Properties") != rule["Properties"]:
            yield Problem(
                stack,
                f"the rule {logical_id} would change, and point users at whatever group the template says",
                "leave it as it is; put other routing into other rules (docs/adr/0004-frozen-rules.md)",
            )


def _lost(stack: str, before: Template, after: Template) -> Iterator[Problem]:
    for logical_id, each in before["Resources"].items():
        if each["Type"] in _STATEFUL and logical_id not in after["Resources"]:
            kind = each["Type"].rpartition("::")[2]
            kept = each.get("DeletionPolicy", "Delete")
            yield Problem(
                stack,
                f"the {kind} {logical_id} is not in the code any more (DeletionPolicy {kept})",
                "if it was renamed: give it its name back; if it is to go: destroy it by its runbook",
            )


def _exports(clients: Clients, stack: str, before: Template, after: Template) -> Iterator[Problem]:
    """CloudFormation refuses to drop what somebody imports, after having done everything else."""
    cloudformation = clients.client("cloudformation")
    kept = {json.dumps(each["Export"]["Name"]) for each in after.get("Outputs", {}).values() if "Export" in each}
    for output in before.get("Outputs", {}).values():
        if "Export" not in output or json.dumps(output["Export"]["Name"]) in kept:
            continue
        export = output["Export"]["Name"]
        try:
            importers = cloudformation.list_imports(ExportName=export)["Imports"]
        except ClientError:  # nobody imports it, which AWS calls an error
            continue
        if importers:
            told = ", ".join(importers)
            yield Problem(
                stack, f"{export} would go, and {told} has it", "in two steps: docs/runbooks/remove-an-export.md"
            )


def _service(place: Place) -> Iterator[Problem]:
    service = service_of(place.clients, place.stack)
    newest = place.ledger.newest(place.service)
    if newest is not None and newest.outcome == "running":
        yield Problem(place.stack, f"{newest.id} by {newest.who} is under way", "wait for it: infra status")
    for alarm, state in release_alarms(place.clients, service).items():
        if state == "ALARM":
            yield Problem(
                place.stack, f"{alarm} is on: ECS would ignore it for the whole deployment", "wait, or mend it"
            )


def doctor(name: str, environment: Environment, clients: Clients, console: Console, *, as_json: bool) -> None:
    """Exit code 3 when there is anything."""
    found = list(examine(name, environment, clients))
    report(found, f"Nothing stands against deploying {name}.", console, as_json=as_json)
