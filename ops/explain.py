"""`infra explain`: why the last deployment of a stack failed, and which lines of this repository declare it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import typer

from config.model import Environment
from ops.account import not_deployed
from ops.console import Console
from ops.effects.template import Templates
from ops.errors import FINDINGS
from ops.functions import Clients
from ops.progress import working
from ops.releases.text import moment
from ops.report import print_json
from ops.stacks import NOT_CREATED, stacks
from ops.templates import synthesized_with_lines

_STACK = "AWS::CloudFormation::Stack"
_BEGINS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS")
# A stack's own reason for its rollback is the cause, unless it only names resources: these have events of their own.
_NAMES_RESOURCES = "The following resource(s) failed"
# CloudFormation cancels other operations when a resource has failed (its guide, "Troubleshooting CloudFormation").
_CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled")


@dataclass(frozen=True, kw_only=True)
class ExplainedFailure:
    """One resource of a stack whose last deployment failed."""

    stack: str
    status: str
    """Status of the stack now."""
    when: str
    """ISO 8601 in UTC."""
    resource: str
    """Logical id; the stack's name where CloudFormation refused the change as a whole."""
    type: str
    reason: str
    """CloudFormation's reason."""
    release: str | None
    """Id of the release that was deployed; its reason is in `infra releases`."""
    path: str | None = None
    """Path of the construct in this code."""
    lines: Sequence[str] = ()
    """FILE:LINE in this repository that declare it, the innermost first."""


def failures(name: str, environment: Environment, clients: Clients) -> list[ExplainedFailure]:
    """What failed in each stack's last deployment, causes first. Raises `OperatorError` and what boto3 raises."""
    ours = [each for each in stacks(clients, name) if each.tags.get("product") == environment.product]
    if not ours:
        raise not_deployed(name, f"account {environment.aws.account} has no stack of it")
    failed = [each for each in ours if "ROLLBACK" in each.status or each.status.endswith("_FAILED")]
    return [found for each in failed for found in _of(clients, each.name, each.status)]


def _of(clients: Clients, stack: str, status: str) -> Iterator[ExplainedFailure]:
    causes, of_stack = [], None
    for event in _last_deployment(clients, stack):
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceType"] == _STACK and event["LogicalResourceId"] == stack:
            is_cause = "ROLLBACK_IN_PROGRESS" in event["ResourceStatus"] and reason
            of_stack = event if is_cause and not reason.startswith(_NAMES_RESOURCES) else of_stack
        elif event["ResourceStatus"].endswith("_FAILED") and not reason.startswith(_CONSEQUENCES):
            causes.append(event)
    for event in [*reversed(causes)] or filter(None, [of_stack]):
        token = event.get("ClientRequestToken", "")
        yield ExplainedFailure(
            stack=stack,
            status=status,
            when=event["Timestamp"].isoformat(timespec="seconds"),
            resource=event["LogicalResourceId"],
            type=event["ResourceType"],
            reason=event.get("ResourceStatusReason", ""),
            release=token if token.startswith("r20") else None,
        )


def _last_deployment(clients: Clients, stack: str) -> Iterator[Mapping[str, Any]]:
    """Its events, the newest first."""
    for page in clients.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            yield event
            is_of_stack = event["ResourceType"] == _STACK and event["LogicalResourceId"] == stack
            if is_of_stack and event["ResourceStatus"] in _BEGINS:
                return


def located(
    found: Sequence[ExplainedFailure], templates: Templates, lines: Mapping[str, Sequence[str]]
) -> list[ExplainedFailure]:
    """The failures with the lines of code that declare the resources, if this code still does."""
    return [_located(each, templates, lines) for each in found]


def _located(failure: ExplainedFailure, templates: Templates, lines: Mapping[str, Sequence[str]]) -> ExplainedFailure:
    resource = templates.get(failure.stack, {}).get("Resources", {}).get(failure.resource)
    if resource is None:
        return failure
    path: str = resource.get("Metadata", {}).get("aws:cdk:path", "")
    # Constructs that CDK creates inside one of ours get the line of ours.
    made_by, known = path, lines.get(path)
    while not known and "/" in made_by:
        made_by = made_by.rpartition("/")[0]
        known = lines.get(made_by)
    return replace(failure, path=path, lines=tuple(known or ()))


def explain(name: str, environment: Environment, clients: Clients, console: Console, *, as_json: bool) -> None:
    """Exit code 3 when a stack's last deployment failed."""
    with working(f"reading CloudFormation's events of {name}"):
        found = failures(name, environment, clients)
    if found:
        found = located(found, *synthesized_with_lines(name))
    if as_json:
        print_json(found)
    else:
        _print(name, found, console)
    if found:
        raise typer.Exit(FINDINGS)


def _print(name: str, found: Sequence[ExplainedFailure], console: Console) -> None:
    if not found:
        console.print(f"the last deployment of every stack of {name} succeeded", highlight=False)
    for each in found:
        console.print(f"{each.stack} is {each.status}", highlight=False)
        console.print(f"  {moment(each.when)} {each.type} {each.resource}: {each.reason}", highlight=False)
        if each.release is not None:
            console.print(f"  it was release {each.release}: infra releases {name}", highlight=False)
        if each.lines:
            console.print(f"  declared at {', by '.join(each.lines)}", highlight=False)
        elif each.type != _STACK:
            console.print("  this code does not declare it", highlight=False)
    if any(each.status in NOT_CREATED for each in found):
        console.print(f"before you deploy again: infra doctor {name} --fix", highlight=False)
