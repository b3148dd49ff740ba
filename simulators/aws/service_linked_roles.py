"""Service-linked roles, which AWS's services create on first use, too late for that first call."""

from typing import Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners

from simulators.aws.conditions import Condition, is_on
from simulators.aws.resource_type import ResourceRefused

# By the first type that needs the role: the service, and what CloudFormation says when it has just been made.
_FIRST = {
    "AWS::ECS::Cluster": (
        "ecs.amazonaws.com",
        "Invalid request provided: CreateCluster Invalid Request: Unable to assume the service linked role. "
        "Please verify that the ECS service linked role exists.",
    ),
    "AWS::RDS::DBSubnetGroup": (
        "rds.amazonaws.com",
        "Missing necessary credentials. Please check "
        "http://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html",
    ),
}
# Their services make them, too, and no report says that the first resource fails.
_SILENT = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elasticloadbalancing.amazonaws.com",
    "AWS::ElastiCache::ReplicationGroup": "elasticache.amazonaws.com",
    "AWS::ApplicationAutoScaling::ScalableTarget": "ecs.application-autoscaling.amazonaws.com",
}
# Their services' guides, "Using service-linked roles".
_NAMES = {
    "ecs.amazonaws.com": "ECS",
    "rds.amazonaws.com": "RDS",
    "elasticloadbalancing.amazonaws.com": "ElasticLoadBalancing",
    "elasticache.amazonaws.com": "ElastiCache",
    "ecs.application-autoscaling.amazonaws.com": "ApplicationAutoScaling_ECSService",
}
_own_create = iam._create_service_linked_role


def install() -> None:
    """Installs the roles. Call it after the types."""
    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = _create
    if not is_on(Condition.SERVICE_LINKED_ROLES):
        return
    for name, (service, refusal) in _FIRST.items():
        _wrap(name, service, refusal)
    for name, service in _SILENT.items():
        _wrap(name, service, None)


def _wrap(name: str, service: str, refusal: str | None) -> None:
    handlers = provisioners._RESOURCE_HANDLERS[name]
    own = handlers["create"]

    def create(*arguments: Any) -> Any:
        if not _exists(service):
            _create({"AWSServiceName": service})
            if refusal is not None:
                raise ResourceRefused(f'Resource handler returned message: "{refusal}"')
        return own(*arguments)

    provisioners._RESOURCE_HANDLERS[name] = {**handlers, "create": create}


def _exists(service: str) -> bool:
    return any(role.get("Path") == f"/aws-service-role/{service}/" for role in iam._roles.values())


def _create(request: dict[str, Any]) -> Any:
    """MiniStack has one name for both roles of ECS."""
    service = iam._p(request, "AWSServiceName")
    name = f"AWSServiceRoleFor{_NAMES[service]}"
    if _exists(service):
        text = f"Service role name {name} has been taken in this account, please try a different suffix."
        return iam._error(400, "InvalidInput", text, ns="iam")
    before = set(iam._roles)
    status, headers, body = _own_create(request)
    (made,) = set(iam._roles) - before
    role = iam._roles.pop(made)
    iam._roles[name] = role | {"RoleName": name, "Arn": role["Arn"].replace(made, name)}
    return status, headers, body.replace(made.encode(), name.encode())
