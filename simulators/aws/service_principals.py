"""Authorizes calls of AWS services: evaluates the policies of topics, keys, functions, buckets and log groups, and the
trust policies of the roles that the services assume.

AWS reports most of these denials nowhere: the message is lost. So the emulator drops it, too, and records the denial.
Which condition keys a service sends is documented with the service; the sources are at `_PUBLISHERS`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, iam, kms, lambda_svc, s3, sns, sqs
from ministack.services.cloudformation import handlers, stacks

from simulators.aws.authorization import Need, denial_of, record
from simulators.aws.conditions import Condition, is_on

Context = Mapping[str, str]


@dataclass(frozen=True)
class _Service:
    """A service that publishes, with the condition keys that it sends to a topic and to an encrypted topic's key."""

    principal: str
    to_topic: Callable[[str], Context]
    """Context of a publication, by the ARN of the rule, alarm or budget."""
    to_key: Callable[[str], Context] | None
    """None if the service cannot use encrypted topics at all."""


def _account_and_arn(source: str) -> Context:
    return {"aws:sourceaccount": get_account_id(), "aws:sourcearn": source}


def _nothing(_: str) -> Context:
    return {}


def _owner(_: str) -> Context:
    return {"aws:sourceowner": get_account_id()}


# SNS developer guide, "Key management": no condition on the source works for EventBridge and encrypted topics.
# Whether EventBridge sends the account to the topic itself is not settled: here it does not.
_EVENTS = _Service("events.amazonaws.com", _nothing, _nothing)
# SNS developer guide, "Key management", example policies.
_CLOUDWATCH = _Service("cloudwatch.amazonaws.com", _account_and_arn, _account_and_arn)
# By the type that names a topic.
_PUBLISHERS = {
    "AWS::Events::Rule": _EVENTS,
    "AWS::CloudWatch::Alarm": _CLOUDWATCH,
    "AWS::CloudWatch::CompositeAlarm": _CLOUDWATCH,
    # ElastiCache user guide, "Managing ElastiCache Amazon SNS notifications".
    "AWS::ElastiCache::ReplicationGroup": _Service("elasticache.amazonaws.com", _owner, None),
    # Cost Management user guide, "Creating an Amazon SNS topic for budget notifications".
    "AWS::Budgets::Budget": _Service("budgets.amazonaws.com", _account_and_arn, _account_and_arn),
    # Cost Management user guide, "Creating an Amazon SNS topic for anomaly notifications".
    "AWS::CE::AnomalySubscription": _Service("costalerts.amazonaws.com", _account_and_arn, _account_and_arn),
}
_LOG_DELIVERY = "logdelivery.elasticloadbalancing.amazonaws.com"
# Elastic Load Balancing's own, in the regions of before August 2022 (Application Load Balancers guide).
_BALANCING_ACCOUNTS = {
    "us-east-1": "127311923021",
    "us-east-2": "033677994240",
    "us-west-1": "027434742980",
    "us-west-2": "797873946194",
    "af-south-1": "098369216593",
    "ca-central-1": "985666609251",
    "eu-central-1": "054676820928",
    "eu-west-1": "156460612806",
    "eu-west-2": "652711504416",
    "eu-south-1": "635631232127",
    "eu-west-3": "009996457667",
    "eu-north-1": "897822967062",
    "ap-east-1": "754344448648",
    "ap-northeast-1": "582318560864",
    "ap-northeast-2": "600734575887",
    "ap-northeast-3": "383597477331",
    "ap-southeast-1": "114774131450",
    "ap-southeast-2": "783225319266",
    "ap-southeast-3": "589379963580",
    "ap-south-1": "718504428378",
    "me-south-1": "076674570225",
    "sa-east-1": "507241528517",
}
_ROTATION_REFUSED = (
    "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the "
    "principal secretsmanager.amazonaws.com."
)


def _may(principal: str, action: str, resource: str, policy: Any, context: Context) -> bool:
    allowed = _allows(policy, principal, action, resource, context)
    record(principal, action, resource, context, denied=not allowed)
    return allowed


def _allows(policy: Any, principal: str, action: str, resource: str, context: Context) -> bool:
    """`principal` is a service, or the ARN of one of AWS's own accounts."""
    is_service = not principal.startswith("arn:")
    request = iam_evaluator.EvalContext(
        principal_arn="" if is_service else principal,
        principal_type="Service" if is_service else "Root",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context=dict(context),
    )
    service = principal if is_service else None
    return bool(iam_evaluator.evaluate_resource_policy(policy, request, service=service).decision == "Allow")


def _publishes(service: _Service, topic: str, source: str) -> bool:
    """Whether a message arrives. A topic that does not exist is not a matter of permissions."""
    found = sns.topic_policy_for_arn(topic)
    if found is None:
        return True
    if not _may(service.principal, "sns:Publish", topic, found[0], service.to_topic(source)):
        return False
    key = kms._resolve_key(sns._topic_by_arn_any_scope(topic)["attributes"].get("KmsMasterKeyId"))
    if key is None:
        return True
    actions = ("kms:GenerateDataKey", "kms:Decrypt")
    if service.to_key is None:
        for action in actions:
            record(service.principal, action, key["Arn"], {}, denied=True)
        return False
    return all(_may(service.principal, each, key["Arn"], key["Policy"], service.to_key(source)) for each in actions)


def can_enter(service: str, role_arn: str, *, source: str = "") -> bool:
    """Whether a role trusts the service that acts as it, for the resource of the ARN `source`; always, without
    enforcement."""
    if not is_on(Condition.IAM):
        return True
    role = iam._roles.get(role_arn.rpartition("/")[2])
    trust = role["AssumeRolePolicyDocument"] if role else {"Statement": []}
    statements = (json.loads(trust) if isinstance(trust, str) else trust)["Statement"]
    # A trust policy names no resource: it is its role.
    policy = {"Statement": [{**each, "Resource": "*"} for each in statements]}
    context = {"aws:sourceaccount": get_account_id(), **({"aws:sourcearn": source} if source else {})}
    return _may(service, "sts:AssumeRole", role_arn, policy, context)


def may_log_access(bucket: str, prefix: str) -> bool:
    """Whether a load balancer may write the test file with which it turns logging on.

    It writes as Elastic Load Balancing's account of the region, where there is one, or as a service (Application Load
    Balancers guide, "Enable access logs").
    """
    if not is_on(Condition.IAM):
        return True
    path = "/".join(filter(None, (prefix, "AWSLogs", get_account_id(), "ELBAccessLogTestFile")))
    resource = f"arn:aws:s3:::{bucket}/{path}"
    policy, _ = s3.bucket_policy_for_arn(resource) or ("", "")
    writers = [_LOG_DELIVERY]
    if account := _BALANCING_ACCOUNTS.get(get_region()):
        writers.insert(0, f"arn:aws:iam::{account}:root")
    used = next((each for each in writers if _allows(policy, each, "s3:PutObject", resource, {})), None)
    record(used or writers[0], "s3:PutObject", resource, {}, denied=used is None)
    return used is not None


def may_rotate(function: str) -> str | None:
    """What Secrets Manager answers when it may not call a rotation function (its guide, "Rotation permissions")."""
    policy = lambda_svc.function_policy_for_arn(function)
    context = {"aws:sourceaccount": get_account_id()}
    if policy and _may("secretsmanager.amazonaws.com", "lambda:InvokeFunction", function, policy[0], context):
        return None
    return _ROTATION_REFUSED


def _calls(kind: str, source: str, properties: Mapping[str, Any]) -> Iterator[bool]:
    """Tries the calls that a resource will later make its service do."""
    account = f":{get_account_id()}:"
    for each in _texts(properties):
        if each.startswith("arn:aws:sns:") and account in each and kind in _PUBLISHERS:
            yield _publishes(_PUBLISHERS[kind], each, source)
        if each.startswith("arn:aws:logs:") and kind == "AWS::Events::Rule":
            yield from stores(each)
        if each.startswith("arn:aws:sqs:") and kind == "AWS::Events::Rule":
            policy = sqs.queue_policy_for_arn(each)
            yield _may(_EVENTS.principal, "sqs:SendMessage", each, policy and policy[0], {"aws:sourcearn": source})
        if each.startswith("arn:aws:lambda:") and kind == "AWS::Events::Rule":
            policy = lambda_svc.function_policy_for_arn(each)
            if policy is not None:
                context = {"aws:sourcearn": source}
                yield _may(_EVENTS.principal, "lambda:InvokeFunction", each, policy[0], context)


def stores(group: str) -> Iterator[bool]:
    """Whether events arrive in a log group: one of the account's policies of CloudWatch Logs has to allow it.

    EventBridge's guide ("CloudWatch Logs permissions") grants both services; which of them writes is not documented.
    """
    stream = f"{group.removesuffix(':*')}:log-stream:events"
    documents = [json.loads(each["policyDocument"]) for each in cloudwatch_logs._resource_policies.values()]
    policy = {"Statement": [statement for each in documents for statement in each["Statement"]]}
    for principal in (_EVENTS.principal, "delivery.logs.amazonaws.com"):
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield _may(principal, action, stream, policy, {})


def _log_flows(flow_log: str, properties: Mapping[str, Any]) -> None:
    """What VPC does for the first records (its guide, "IAM role for publishing flow logs to CloudWatch Logs").

    A denial shows in the flow log's `DeliverLogsErrorMessage` only, as "Access error".
    """
    role = properties.get("DeliverLogsPermissionArn")
    if role and can_enter("vpc-flow-logs.amazonaws.com", role):
        name = properties.get("LogGroupName") or properties["LogDestination"].split(":log-group:")[1].removesuffix(":*")
        group = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}"
        actions = ("logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")
        denial_of(role, flow_log, *(Need(each, f"{group}:log-stream:{flow_log}") for each in actions))


def _polls(properties: Mapping[str, Any]) -> None:
    """What Lambda does as the function's role (its developer guide, "Using Lambda with Amazon SQS": permissions)."""
    queue = properties["EventSourceArn"]
    if queue.startswith("arn:aws:sqs:"):
        function = lambda_svc._functions[properties["FunctionName"].rpartition(":")[2]]["config"]
        actions = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
        denial_of(function["Role"], function["FunctionName"], *(Need(each, queue) for each in actions))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


_SOURCES = {
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/{name}",
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::CloudWatch::CompositeAlarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::Budgets::Budget": "arn:aws:budgets::{account}:budget/{name}",
}


def _source(kind: str, physical_id: str) -> str:
    if physical_id.startswith("arn:"):
        return physical_id
    return _SOURCES.get(kind, "{name}").format(region=get_region(), account=get_account_id(), name=physical_id)


def _try_all(stack_id: str) -> None:
    stack = handlers._resolve_stack(stack_id)
    for resource in stack["_resources"].values() if stack else []:
        kind = resource["ResourceType"]
        if kind in _PUBLISHERS:
            list(_calls(kind, _source(kind, resource["PhysicalResourceId"]), resource["Properties"]))
        if kind == "AWS::Lambda::EventSourceMapping":
            _polls(resource["Properties"])
        if kind == "AWS::EC2::FlowLog":
            _log_flows(resource["PhysicalResourceId"], resource["Properties"])


def install() -> None:
    own_sns, own_actions, own_event = (
        eventbridge._dispatch_to_sns,
        cloudwatch._dispatch_alarm_actions,
        stacks._add_event,
    )

    def dispatch(arn: str, payload: str) -> None:
        if _publishes(_EVENTS, arn, ""):
            own_sns(arn, payload)

    def fire(alarm: dict[str, Any], *state: Any) -> None:
        source = alarm.get("AlarmArn", "")
        reached = {
            field: [each for each in alarm.get(field) or [] if _publishes(_CLOUDWATCH, each, source)]
            for field in ("AlarmActions", "OKActions", "InsufficientDataActions")
        }
        own_actions({**alarm, **reached}, *state)

    def add(
        stack_id: str, stack_name: str, logical_id: str, kind: str, status: str, *rest: Any, **options: Any
    ) -> None:
        own_event(stack_id, stack_name, logical_id, kind, status, *rest, **options)
        if logical_id == stack_name and status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            _try_all(stack_id)

    eventbridge._dispatch_to_sns, cloudwatch._dispatch_alarm_actions, stacks._add_event = dispatch, fire, add
