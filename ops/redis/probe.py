"""The probe of an instance, found in its stack and asked."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from ops.errors import OperatorError

_HANDLER = "infra_runtime.redis.monitor.handler"


class Clients(Protocol):
    """As boto3's session makes them."""

    def client(self, service: str, /) -> Any: ...


def ask_probe(clients: Clients, stack: str, instance: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """What the probe answers. Raises `OperatorError` when there is none or it fails, and what boto3 raises."""
    function = _find(clients, stack, instance)
    answer = clients.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    document: dict[str, Any] = json.loads(answer["Payload"].read().decode())
    if "FunctionError" in answer:
        # Of the function's own making, so without a secret in it; its log has the rest.
        told = document.get("errorMessage", "")
        raise OperatorError(f"{stack}: the probe failed: {told}; its log: aws logs tail /aws/lambda/{function}")
    return document


def _find(clients: Clients, stack: str, instance: str) -> str:
    functions = clients.client("lambda")
    pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceType"] == "AWS::Lambda::Function":
                name: str = each["PhysicalResourceId"]
                found = functions.get_function_configuration(FunctionName=name)
                variables = found.get("Environment", {}).get("Variables", {})
                if found["Handler"] == _HANDLER and variables.get("INSTANCE") == instance:
                    return name
    raise OperatorError(f"{stack}: there is no probe of {instance} in it; deploy it first")
