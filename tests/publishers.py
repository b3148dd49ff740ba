"""Who publishes to a topic, and whether the topic's and its key's policies let it.

Knows the condition operators that the templates use; anything else is a `KeyError`, never a yes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

Templates = Mapping[str, Mapping[str, Any]]
Context = Mapping[str, str]
STRANGER = "999988887777"

# The service that publishes for a resource of a type.
SERVICES = {
    "AWS::Budgets::Budget": "budgets.amazonaws.com",
    "AWS::CE::AnomalySubscription": "costalerts.amazonaws.com",
    "AWS::CloudWatch::Alarm": "cloudwatch.amazonaws.com",
    "AWS::CloudWatch::CompositeAlarm": "cloudwatch.amazonaws.com",
    "AWS::ElastiCache::ReplicationGroup": "elasticache.amazonaws.com",
    "AWS::Events::Rule": "events.amazonaws.com",
}
# Types that refer to a topic without publishing as a service: subscribers, policies, and roles of functions.
NO_PUBLISHERS = (
    "AWS::Chatbot::SlackChannelConfiguration",
    "AWS::IAM::Policy",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
)


def contexts(service: str, account: str) -> list[Context]:
    """What the service may send along when it publishes for a resource of the account, by its documentation.

    EventBridge supports no source condition in a key's policy (SNS developer guide, "Managing encryption keys"); its
    guide has said that topic policies take no conditions either, and people see `aws:SourceArn` arrive: it may
    send none or the account. ElastiCache sends `aws:SourceOwner` and not `aws:SourceAccount` (guide, ECEvents.SNS).
    """
    if service == "events.amazonaws.com":
        return [{}, {"aws:SourceAccount": account}] if account != STRANGER else [{"aws:SourceAccount": account}]
    if service == "elasticache.amazonaws.com":
        return [{"aws:SourceOwner": account}]
    return [{"aws:SourceAccount": account}]


@dataclass(frozen=True)
class Topic:
    """An SNS topic in an environment's templates."""

    name: str
    policy: Mapping[str, Any]
    key_policy: Mapping[str, Any] | None
    """Key of the topic; None if it is not encrypted."""

    def refusal(self, service: str, context: Context) -> str | None:
        """The reason why a message of the service does not arrive; None if it does."""
        if not allows(self.policy, service, "sns:Publish", context):
            return f"{self.name}: the topic's policy refuses {service} {dict(context)}"
        if self.key_policy is None:
            return None
        if service == "elasticache.amazonaws.com":
            return f"{self.name}: ElastiCache publishes to no encrypted topic"
        # EventBridge's calls to KMS are known to fulfil no condition on their source.
        context = {} if service == "events.amazonaws.com" else context
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            if not allows(self.key_policy, service, action, context):
                return f"{self.name}: its key's policy refuses {service} {action} {dict(context)}"
        return None


@dataclass(frozen=True)
class Environment:
    """The templates of one environment, with references between them resolved to "Stack/LogicalId"."""

    templates: Templates
    """Templates by the stack's name."""
    topics: Mapping[str, Topic] = field(init=False)

    def __post_init__(self) -> None:
        keys, policies = {}, {}
        for stack, name, kind, properties in self._resources():
            if kind == "AWS::KMS::Key":
                keys[f"{stack}/{name}"] = properties["KeyPolicy"]
            if kind == "AWS::SNS::TopicPolicy":
                for topic in properties["Topics"]:
                    policies[self._target(stack, topic)] = properties["PolicyDocument"]
        topics = {}
        for stack, name, kind, properties in self._resources():
            if kind == "AWS::SNS::Topic":
                key = properties.get("KmsMasterKeyId")
                where = f"{stack}/{name}"
                topics[where] = Topic(where, policies[where], keys[str(self._target(stack, key))] if key else None)
        object.__setattr__(self, "topics", topics)

    def publishers(self) -> Iterator[tuple[str, str, Topic]]:
        """(resource, service that publishes for it, topic). Raises `KeyError` for a type that is not known here."""
        for stack, name, kind, properties in self._resources():
            if kind not in NO_PUBLISHERS:
                for target in sorted(set(self._topics_in(stack, properties))):
                    yield f"{stack}/{name}", SERVICES[kind], self.topics[target]

    def _resources(self) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
        for stack, template in self.templates.items():
            for name, each in template["Resources"].items():
                yield stack, name, each["Type"], each.get("Properties", {})

    def _topics_in(self, stack: str, node: Any) -> Iterator[str]:
        target = self._target(stack, node)
        if target is not None and target in self.topics:
            yield target
        elif isinstance(node, Mapping | list):
            for each in node.values() if isinstance(node, Mapping) else node:
                yield from self._topics_in(stack, each)

    def _target(self, stack: str, node: Any) -> str | None:
        """Target of a reference; None if the value is not a reference."""
        if not isinstance(node, Mapping) or len(node) != 1:
            return None
        ((function, argument),) = node.items()
        if function == "Ref":
            return f"{stack}/{argument}"
        if function == "Fn::GetAtt":
            return f"{stack}/{argument[0]}"
        if function == "Fn::ImportValue":
            for other, template in self.templates.items():
                for output in template.get("Outputs", {}).values():
                    if output.get("Export", {}).get("Name") == argument:
                        return self._target(other, output["Value"])
        return None


def allows(policy: Mapping[str, Any], service: str, action: str, context: Context) -> bool:
    """Whether the policy of a resource lets the service do that to it, over TLS."""
    context = {"aws:SecureTransport": "true", **context}
    effects = {
        each["Effect"]
        for each in policy["Statement"]
        if _is_about(each["Principal"], service)
        and any(fnmatchcase(action.lower(), wanted.lower()) for wanted in _list(each["Action"]))
        and all(
            _holds(operator, key, _list(wanted), context)
            for operator, keys in each.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    }
    return effects == {"Allow"}


def _is_about(principal: Any, service: str) -> bool:
    return principal == "*" or service in _list(principal.get("Service", [])) or principal.get("AWS") == "*"


def _holds(operator: str, key: str, wanted: list[Any], context: Context) -> bool:
    value = context.get(key)
    if operator.endswith("IfExists"):
        if value is None:
            return True
        operator = operator.removesuffix("IfExists")
    if value is None:
        return False
    if operator in ("StringEquals", "Bool"):
        return value in wanted
    if operator in ("StringLike", "ArnLike"):
        return any(fnmatchcase(value, each if isinstance(each, str) else json.dumps(each)) for each in wanted)
    raise KeyError(f"a condition {operator} on {key}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
