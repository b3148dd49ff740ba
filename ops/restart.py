"""`infra restart`: replaces tasks by new ones of the same image, blue/green behind a load balancer."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from config import services
from config.model import Environment
from infra_runtime.contract.names import stack_name
from infra_runtime.contract.revision import SERVICE
from infra_runtime.release.preflight import UNDER_WAY, deployments, service_arns
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients

_EVERY_SECONDS = 2.0


def restart(
    name: str,
    environment: Environment,
    service: str,
    clients: Clients,
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Waits for the end. Raises `OperatorError` when something is under way, and when the deployment goes back."""
    ecs, arn = clients.client("ecs"), _arn(name, environment, service, clients)
    where = {"cluster": arn.split("/")[1], "service": arn}
    listed = {"clusterArn": where["cluster"], "serviceArn": arn}
    for each in deployments(ecs, listed, status=UNDER_WAY):
        what = f"a deployment of {service} is {each['status']}"
        raise OperatorError(f"{what}, which brings new tasks itself: infra status {name} --service {service}")
    before = {each["serviceDeploymentArn"] for each in deployments(ecs, listed)}
    ecs.update_service(**where, forceNewDeployment=True)
    console.print(
        f"new tasks of {service} start; the old ones serve until then. Ctrl-C stops nothing,"
        f" infra rollback {name} --service {service} does",
        highlight=False,
    )
    said = ""
    while True:
        new = [each for each in deployments(ecs, listed) if each["serviceDeploymentArn"] not in before]
        if new:
            found = _described(ecs, new[0]["serviceDeploymentArn"])
            text = f"{found['status']} {found.get('lifecycleStage', '')}".strip()
            if text != said:
                console.print(f"  {text}", highlight=False)
            said = text
            if found["status"] not in UNDER_WAY:
                break
        sleep(_EVERY_SECONDS)
    if found["status"] != "SUCCESSFUL":
        reason = found.get("rollback", {}).get("reason") or found.get("statusReason")
        raise OperatorError(f"{service} runs on with its old tasks: {reason}")


def _described(ecs: Any, arn: str) -> Mapping[str, Any]:
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    return dict(found)


def _arn(name: str, environment: Environment, service: str, clients: Clients) -> str:
    known = services.on_ecs(environment)
    if service not in known:
        raise InputError(f"SERVICE {service!r}: expected one of {', '.join(known)}, those of {name} on ECS")
    runs = known[service].runs
    for arn, logical in service_arns(clients, stack_name(environment.product, name, runs or service)):
        if (logical == SERVICE) if runs is None else logical.startswith(f"{services.words(service)}Service"):
            return arn
    raise OperatorError(f"{name} has no {service} yet: make deploy ENV={name}")
