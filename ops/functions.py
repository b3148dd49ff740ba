"""Finds our Lambda functions in their stacks, and invokes them."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

from infra_runtime.caller import prove
from ops.errors import OperatorError
from ops.progress import working


class Clients(Protocol):
    """Clients of AWS services, as boto3's session makes them."""

    def client(self, service: str, /) -> Any: ...


def resources(clients: Clients, stack: str, kind: str) -> list[str]:
    """Physical ids of the stack's resources of one type; what boto3 raises when there is no such stack."""
    pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind
    ]


def physical_ids(clients: Clients, stack: str) -> dict[str, str]:
    """Physical ids of the stack's resources, by logical id."""
    pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def find(clients: Clients, stack: str, module: str, variables: Mapping[str, str], *, what: str) -> str:
    """Name of the function that runs `infra_runtime.<module>` with these variables. Raises `OperatorError`."""
    functions = clients.client("lambda")
    for name in resources(clients, stack, "AWS::Lambda::Function"):
        found = functions.get_function_configuration(FunctionName=name)
        has = found.get("Environment", {}).get("Variables", {})
        if found["Handler"] == f"infra_runtime.{module}.handler" and variables.items() <= has.items():
            return name
    raise OperatorError(f"{stack}: there is no {what} in it; deploy it first")


def ask_as_myself(clients: Clients, function: str, event: Mapping[str, Any], *, what: str) -> Any:
    """Like `ask`, with proof of the caller's identity; the person behind a workflow is added."""
    proven = {**event, "caller": prove(clients.client("sts"), function), "acts_for": actor()}
    return ask(clients, function, proven, what=what)


def actor() -> str | None:
    """The person behind a workflow of GitHub's, and its run; None elsewhere."""
    if (name := os.environ.get("GITHUB_ACTOR")) is None:
        return None
    server, repository, run = (os.environ.get(f"GITHUB_{each}", "") for each in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{name} ({server}/{repository}/actions/runs/{run})"


def run() -> str | None:
    """The workflow of GitHub's that this runs in and the number of its run, as WORKFLOW#NUMBER; None elsewhere."""
    workflow, number = (os.environ.get(f"GITHUB_{each}", "") for each in ("WORKFLOW_REF", "RUN_NUMBER"))
    return f"{workflow.partition('@')[0]}#{number}" if workflow and number else None


def ask(clients: Clients, function: str, event: Mapping[str, Any], *, what: str) -> Any:
    """The function's answer. Raises `OperatorError` when it fails, and what boto3 raises."""
    with working(f"waiting for {what}"):
        answer = clients.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    document = json.loads(answer["Payload"].read().decode())
    if "FunctionError" in answer:
        # The function's own message, which contains no secret; its log has the rest.
        error = document.get("errorMessage", "")
        raise OperatorError(f"{what} failed: {error}; its log: infra logs ENV {_part(function)}")
    return document


def _part(function: str) -> str:
    """The part of a function's name that its construct gave it: Drift of STACK-DriftHandlerFunction9EBE9B34-…"""
    found = re.search(r"-([A-Z][A-Za-z]*?)(?:Handler)?Func", function)
    return found[1] if found else function
