"""What the next deployment would break in the one that is there."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from config.model import Environment
from config.services import released
from infra_runtime.release.preflight import release_alarms, service_of
from ops.amplify import AmplifySite
from ops.doctor import amplify
from ops.doctor.finding import Finding
from ops.functions import Clients
from ops.releases.place import Place
from ops.templates import Templates

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


def examine(name: str, environment: Environment, clients: Clients, wanted: Templates) -> Iterator[Finding]:
    """Raises what boto3 raises."""
    deployed = {stack: found for stack in wanted if (found := _deployed(clients, stack)) is not None}
    for stack, (status, template) in deployed.items():
        if status not in _AT_REST:
            yield Finding(
                where=stack,
                what=f"is {status}",
                why="CloudFormation changes no stack that is not at rest",
                fix="wait, or bring it to rest in CloudFormation's console",
            )
        yield from _frozen_rules(stack, template, wanted[stack])
        yield from _lost(stack, template, wanted[stack])
        yield from _exports(clients, stack, template, wanted[stack])
    for service in released(environment):
        place = Place(name, environment, service, clients)
        if place.stack in deployed:
            yield from _service(place)
    for service, each in environment.services.items():
        site = AmplifySite(name, environment, service, clients)
        if each.amplify is not None and site.stack in deployed:
            yield from amplify.examine(site)


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


def _frozen_rules(stack: str, before: Template, after: Template) -> Iterator[Finding]:
    """ECS has moved their weights; any change of the rule puts back the template's (docs/adr/0004)."""
    new = after["Resources"]
    for logical_id, rule in before["Resources"].items():
        if rule["Type"] == _RULE and new.get(logical_id, {}).get("Properties") != rule["Properties"]:
            yield Finding(
                where=stack,
                what=f"the rule {logical_id} would change",
                why="users would be sent to whatever group the template says, which may be the empty one",
                fix="leave it as it is; put other routing into other rules (docs/adr/0004-frozen-rules.md)",
            )


def _lost(stack: str, before: Template, after: Template) -> Iterator[Finding]:
    for logical_id, each in before["Resources"].items():
        if each["Type"] in _STATEFUL and logical_id not in after["Resources"]:
            kind = each["Type"].rpartition("::")[2]
            kept = each.get("DeletionPolicy", "Delete")
            yield Finding(
                where=stack,
                what=f"the {kind} {logical_id} is not in the code any more (DeletionPolicy {kept})",
                why="CloudFormation would delete it, and make an empty one under the new name",
                fix="if it was renamed, give it its name back; if it is to go, destroy it by its runbook",
            )


def _exports(clients: Clients, stack: str, before: Template, after: Template) -> Iterator[Finding]:
    """CloudFormation refuses to drop what somebody imports, after having done everything else."""
    cloudformation = clients.client("cloudformation")
    kept = {json.dumps(each["Export"]["Name"]) for each in after.get("Outputs", {}).values() if "Export" in each}
    for output in before.get("Outputs", {}).values():
        if "Export" not in output or json.dumps(output["Export"]["Name"]) in kept:
            continue
        export = output["Export"]["Name"]
        try:
            pages = cloudformation.get_paginator("list_imports").paginate(ExportName=export)
            importers = [each for page in pages for each in page["Imports"]]
        except ClientError:  # nobody imports it, which AWS calls an error
            continue
        if importers:
            yield Finding(
                where=stack,
                what=f"{export} would go, and {', '.join(importers)} has it",
                why="CloudFormation refuses that last, after it has done everything else",
                fix="in two steps: docs/runbooks/remove-an-export.md",
            )


def _service(place: Place) -> Iterator[Finding]:
    service = service_of(place.clients, place.stack)
    newest = place.ledger.newest(place.service)
    if newest is not None and newest.outcome == "running":
        yield Finding(
            where=place.stack,
            what=f"{newest.id} by {newest.who} is under way",
            why="a deployment would cut into the release",
            fix=f"wait for it: ./infra status {place.name}",
        )
    for alarm, state in release_alarms(place.clients, service).items():
        if state == "ALARM":
            yield Finding(
                where=place.stack,
                what=f"{alarm} is on",
                why="ECS would ignore it for the whole deployment, so it could not roll it back",
                fix="wait, or follow its runbook",
            )
