"""AWS::Lambda::Function without its layers: they hold libraries for ARM, which are installed for this machine here.

Lambda acts as the function's role when it creates network interfaces and writes the log.
"""

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc

from simulators.aws.authorization import Need, denial_of
from simulators.aws.resource_type import ResourceRefused, extend
from simulators.aws.service_principals import can_enter

# Lambda's guide, "Giving Lambda functions access to resources in an Amazon VPC", "Required IAM permissions".
_NETWORK = (
    "CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets", "DeleteNetworkInterface",
    "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses",
)  # fmt: skip
_VARIABLES = 4096
_writes: dict[tuple[str, str], bool] = {}
"""Whether a function may write its log, by the ARNs of function and role."""


def _check_role(properties: Mapping[str, Any]) -> None:
    """Refuses a role that Lambda cannot use, in Lambda's words (pdomala/LambdaCDDemo #1; aws-cdk #23589)."""
    role = properties["Role"]
    if not can_enter("lambda.amazonaws.com", role):
        raise ResourceRefused("The role defined for the function cannot be assumed by Lambda.")
    if properties.get("VpcConfig", {}).get("SubnetIds"):
        for action in _NETWORK:
            if denial_of(role, "awslambda", Need(f"ec2:{action}", "*")):
                raise ResourceRefused(f"The provided execution role does not have permissions to call {action} on EC2")


def check_variables(properties: Mapping[str, Any]) -> None:
    """Refuses more than 4 KiB of variables, measured as Lambda does it (Lambda quotas; the words:
    github-aws-runners/terraform-aws-github-runner #3594)."""
    variables = json.dumps(properties.get("Environment", {}).get("Variables", {}), separators=(",", ":"))
    if len(variables.encode()) > _VARIABLES:
        raise ResourceRefused(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {variables}"
        )


def _can_log(function: Mapping[str, Any]) -> bool:
    """Whether the role may write the log. If not, there is no log and no error (Lambda's guide, "Sending logs")."""
    arn, role = function["FunctionArn"], function["Role"]
    if (arn, role) not in _writes:
        name = function["FunctionName"]
        group = function.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}"
        group_arn = f"{':'.join(arn.split(':')[:5]).replace(':lambda:', ':logs:')}:log-group:{group}"
        needs = [Need(f"logs:{each}", f"{group_arn}:log-stream:first") for each in ("CreateLogStream", "PutLogEvents")]
        if group not in cloudwatch_logs._log_groups:
            needs.insert(0, Need("logs:CreateLogGroup", group_arn))
        _writes[arn, role] = denial_of(role, name, *needs) is None
    return _writes[arn, role]


def install() -> None:
    def bare(properties: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in properties.items() if key != "Layers"}

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        _check_role(properties)
        check_variables(properties)
        return own["create"](logical_id, bare(properties), stack_name)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        if any(old.get(key) != new.get(key) for key in ("Role", "VpcConfig")):
            _check_role(new)
        check_variables(new)
        return own["update"](physical_id, bare(old), bare(new), *rest)

    def log(function: dict[str, Any], *lines: Any, **options: Any) -> None:
        if _can_log(function.get("config") or function):
            own_log(function, *lines, **options)

    own_log = lambda_svc._emit_lambda_logs
    lambda_svc._emit_lambda_logs = log
    own = extend("AWS::Lambda::Function", create=create, update=update)
